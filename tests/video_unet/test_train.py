import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.tolerances import assert_identity, assert_single
from tests.video_unet.conftest import TINY

from theodolite import families
from theodolite.data.clips import clip
from theodolite.data.videos import write_video
from theodolite.engine import precision
from theodolite.engine.bfloat16 import Check
from theodolite.engine.export import load_weights
from theodolite.kernel.errors import DataError, UsageError
from theodolite.video_unet.config import VideoUNetConfig, VideoUNetTraining
from theodolite.video_unet.model import VideoUNet
from theodolite.video_unet.samples import samples
from theodolite.video_unet.similarity import structural_similarity
from theodolite.video_unet.train import VideoUNetTask, rate_share


def test_the_step_size_rises_then_falls_to_nothing():
    shares = [rate_share(step, 200) for step in range(201)]
    peak = int(np.argmax(shares))
    assert np.all(np.diff(shares[: peak + 1]) > 0)
    assert np.all(np.diff(shares[peak:]) < 0)
    assert 0 < shares[0] < 0.2
    assert shares[200] < 1e-9


def test_training_lowers_the_loss_of_both_networks(tiny_run):
    rows = tiny_run.metrics()
    for name in ("loss_with_skips", "loss_without_skips"):
        assert rows[-1][name] < rows[0][name]
    assert tiny_run.read_json("data.json")["held_out"] == 6


def test_initial_weights_are_a_function_of_the_seed_alone():
    config = VideoUNetConfig(**TINY)
    clips = samples(config)

    def weights(seed):
        task = VideoUNetTask(config, VideoUNetTraining(seed=seed), clips)
        return torch.cat([each.flatten() for each in task.networks["with_skips"].parameters()])

    torch.manual_seed(99)
    first = weights(0)
    assert torch.equal(first, weights(0))
    assert not torch.equal(first, weights(1))


def test_training_on_a_folder_of_videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(2):
        write_video(folder / f"{number}.mp4", clip(0, number, 30, 24, 20), 10)
    fields = {**TINY, "data": str(folder), "batch_size": 2, "steps": 3, "device": "cpu", "compare_skips": False}
    run = families.train("video-unet", tmp_path / "run", **fields)
    audit = families.audit(run)
    assert not audit.failed
    assert "held-out clips come back at" in audit.sentences[0]
    (folder / "1.mp4").unlink()
    with pytest.raises(DataError, match="its SHA-256 differs; restore the files"):
        families.audit(run)


def test_bfloat16_is_refused_where_a_layer_goes_wrong_and_leaves_no_folder(tmp_path, monkeypatch):
    def wrong(layer, device):
        return Check(layer.name, 1.0 if "Conv3d" in layer.name else 0.0, 0.01, "its weight gradient")

    monkeypatch.setattr(precision, "check", wrong)
    with pytest.raises(UsageError, match=r"Conv3d 3→3, kernel 3×3×3, padding 1×1×1 errs by 1 in its weight gradient"):
        families.train("video-unet", tmp_path / "run", device="cpu", precision="bf16-mixed", **TINY)
    assert not (tmp_path / "run").exists()


def test_the_loop_trains_as_plain_steps_do(tmp_path):
    """Two routes to one network: the engine, and Adam by hand on the same batches."""
    fields = {**TINY, "compare_skips": False, "batch_size": 24}  # a batch is the whole set: no order matters
    run = families.train("video-unet", tmp_path / "run", steps=2, device="cpu", learning_rate=0.02, **fields)
    config, training = run.settings(VideoUNetConfig), run.settings(VideoUNetTraining)
    clips = samples(config)
    network = VideoUNetTask(config, training, clips).networks["with_skips"]
    x = torch.from_numpy(clips.draw(range(24))).movedim(-1, 1).float() / 255.0
    parameters = list(network.parameters())
    sizes = [0.1 if p.ndim == 1 else float(np.sqrt(np.mean(p.detach().numpy() ** 2))) for p in parameters]
    adams = [torch.optim.Adam([p], lr=1.0, betas=(0.9, 0.99)) for p in parameters]
    for step in range(2):
        for adam, size in zip(adams, sizes, strict=True):
            adam.param_groups[0]["lr"] = 0.02 * size * rate_share(step, 2)
            adam.zero_grad()
        error = network(x) - x
        flicker = error.diff(dim=2)
        loss = 0.5 * (1 - structural_similarity(network(x), x)) / 2
        loss = loss + sum(w * ((e**2 + 1e-6).sqrt() - 1e-3).mean() for e, w in ((error, 1.0), (flicker, 0.5)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for adam in adams:
            adam.step()
    trained = VideoUNet(config)
    load_weights(run, {"with_skips": trained})
    with torch.no_grad():
        assert_single(trained(x[:2]), network(x[:2]))
    assert_identity(run.metrics()[0]["step"], 0)


def test_muon_moves_kernels_and_adam_biases():
    config = VideoUNetConfig(base=2, optimizer="muon")
    task = VideoUNetTask(config, VideoUNetTraining(), samples(config))
    moved = {
        name: [weight for group in optimizer.param_groups for weight in group["params"]]
        for name, optimizer in task.optimizers.items()
    }
    assert {weight.ndim for weight in moved["muon"]} == {5}
    assert {weight.ndim for weight in moved["adam"]} == {1}
    every = {id(weight) for network in task.networks.values() for weight in network.parameters()}
    assert {id(weight) for weights in moved.values() for weight in weights} == every


@pytest.mark.parametrize(("corruption", "optimizer"), [("masked", "adam"), ("noise", "muon")])
def test_an_interrupted_run_goes_on_with_the_same_draws(tmp_path, monkeypatch, corruption, optimizer):
    fields = {
        **TINY,
        "corruption": corruption,
        "optimizer": optimizer,
        "device": "cpu",
        "steps": 4,
        "checkpoint_every": 2,
    }
    whole = families.train("video-unet", tmp_path / "whole", **fields)
    step = VideoUNetTask.step

    def interrupted(task, at):
        if at.number == 3:
            raise KeyboardInterrupt
        return step(task, at)

    monkeypatch.setattr(VideoUNetTask, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        families.train("video-unet", tmp_path / "cut", **fields)
    monkeypatch.setattr(VideoUNetTask, "step", step)
    resumed = families.resume(tmp_path / "cut")
    one, other = (load_file(run.weights) for run in (whole, resumed))
    assert all(torch.equal(other[name], value) for name, value in one.items())
