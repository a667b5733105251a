import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.nested_vit.own import SMALL, folders, pairs, trained, written
from tests.tolerances import assert_identity, assert_single

from theodolite import families
from theodolite.kernel.errors import DataError
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.dropout import Draws
from theodolite.nested_vit.examples import opened
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.own_images import find
from theodolite.nested_vit.own_training import Learner, begin_with, trained_network
from theodolite.nested_vit.predict import predict


def learner_of(data, **fields):
    network = {name: value for name, value in SMALL.items() if name != "device"}
    images = find(NestedViTConfig(data=str(data)))
    config = families.plan("nested-vit", **{**network, "data": str(data), **fields}).config
    torch.manual_seed(0)
    return Learner(NestedViT(NestedViTConfig(**config))).double(), images


def gradients(learner, images):
    draws = Draws(0, 0, torch.arange(len(images)))
    return learner(images, False, draws), torch.autograd.grad(learner(images, False, draws), learner.parameters())


@pytest.mark.parametrize("form", [folders, pairs])
def test_images_of_different_sizes_make_the_mean_of_their_gradients_in_every_way(tmp_path, form):
    data = form(tmp_path)
    found = {}
    for way in ("ordinary", "recomputed", "stored"):
        learner, images = learner_of(data, gradients=way, dropout=0.1)
        shown = images.training[:3]
        assert len({(image.height, image.width) for image in shown}) == 3
        found[way] = gradients(learner, shown)
    for way in ("recomputed", "stored"):
        assert_identity(found[way][0].detach(), found["ordinary"][0].detach())
        for one, other in zip(found[way][1], found["ordinary"][1], strict=True):
            assert_identity(one, other)


def test_a_batch_is_the_mean_over_its_images(tmp_path):
    learner, images = learner_of(pairs(tmp_path))
    shown = images.training[:3]
    loss, together = gradients(learner, shown)
    alone = [gradients(learner, (image,)) for image in shown]
    assert_identity(loss.detach(), np.mean([float(one.detach()) for one, _ in alone]))
    for number, gradient in enumerate(together):
        assert_identity(gradient, sum(every[number] for _, every in alone) / 3)


def test_the_loss_of_a_mask_is_the_mean_over_its_known_pixels(tmp_path):
    learner, images = learner_of(pairs(tmp_path))
    network = learner.network
    with opened(images.training[0], network.config, False) as example, torch.no_grad():
        pixels = example.image.window(0, 0, example.image.height, example.image.width)
        truth = example.truth.window(0, 0, example.image.height, example.image.width)[..., 0]
        logits = network(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0].numpy()
    known = truth != 255
    said = logits - np.log(np.exp(logits).sum(axis=0))
    slow = -np.mean([said[truth[row, column], row, column] for row, column in np.argwhere(known)])
    assert_identity(learner(images.training[:1], False, Draws(0, 0, torch.arange(1))).detach(), slow)


def test_one_logit_learns_0_and_255(tmp_path):
    run = trained(tmp_path / "run", pairs(tmp_path / "data", values=(0, 255)), classes=1, log_every=1)
    assert run.read_json("data.json")["marks"] is True
    assert all(np.isfinite(row["loss"]) for row in run.metrics())


def test_brightness_is_learnt(tmp_path):
    run = trained(tmp_path / "run", folders(tmp_path / "data", count=24), steps=40, batch_size=4, learning_rate=0.01)
    last = run.metrics()[-1]
    assert last["held_out_right"] == 1
    assert last["held_out_loss"] < 0.2


def test_what_the_images_decided_is_stored_and_trains_the_same_again(tmp_path):
    data = folders(tmp_path / "data")
    run = trained(tmp_path / "run", data)
    config = run.settings(NestedViTConfig)
    assert (config.target, config.classes, config.channels) == ("label", 2, 3)
    stored = run.read_json("data.json")
    assert stored["classes"] == ["bright", "dark"]
    assert stored["training"] == len(find(config).training)
    again = families.train("nested-vit", tmp_path / "again", **config.model_dump(), steps=2, batch_size=3, device="cpu")
    for name, value in load_file(run.weights).items():
        assert torch.equal(load_file(again.weights)[name], value)


def test_a_run_resumes_on_the_same_images_only(tmp_path):
    data = folders(tmp_path / "data")
    run, whole = trained(tmp_path / "run", data, steps=2), trained(tmp_path / "whole", data, steps=2)
    families.resume(run.path, steps=3)
    assert run.metrics()[-1]["step"] == 2
    written(data / "dark" / "new.png", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(DataError, match="files or labels differ; restore them, or train again"):
        families.resume(whole.path, steps=4)


def test_damage_is_found_before_training_and_leaves_nothing(tmp_path):
    data = folders(tmp_path / "data")
    path = data / "dark" / "0.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"0\.png"):
        trained(tmp_path / "run", data)
    assert not (tmp_path / "run").exists()


def test_a_cut_image_is_found_by_the_plan(tmp_path):
    path = folders(tmp_path / "data") / "dark" / "0.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"0\.png"):
        families.plan("nested-vit", data=str(tmp_path / "data"))


def test_two_processes_train_what_one_trains(tmp_path):
    data = folders(tmp_path / "data")
    alone = trained(tmp_path / "alone", data, batch_size=4)
    arguments = {**SMALL, "data": data, "steps": 2, "batch_size": 4, "held_out": 4, "out": tmp_path / "both"}
    words = [word for name, value in arguments.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "-m", "theodolite", "nested-vit", "train", *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    both = load_file(tmp_path / "both" / "model.safetensors")
    for name, value in load_file(alone.weights).items():
        assert_single(both[name], value)
    environment = json.loads((tmp_path / "both" / "environment.json").read_text())
    assert environment["processes"] == 2


def test_training_begins_with_the_answer_that_is_best_for_all(tmp_path):
    learner, _images = learner_of(pairs(tmp_path))
    network = learner.network
    begin_with(network, [0.5, 0.3, 0.2])
    torch.nn.init.zeros_(network.get_classifier().weight)
    with torch.no_grad():
        said = network(torch.rand(1, 3, 9, 9, dtype=torch.float64)).softmax(dim=1)
    assert_identity(said[0, :, 4, 7], [0.5, 0.3, 0.2])
    first = trained(tmp_path / "run", tmp_path, steps=1, log_every=1).metrics()[0]["loss"]
    assert abs(first - np.log(3)) < 0.5


@pytest.mark.parametrize("change", [{"shares": [0.5]}, {"shares": [0.5, "a"]}, {"marks": 3}, {"shares": None}])
def test_a_damaged_note_of_the_images_is_refused(tmp_path, change):
    run = trained(tmp_path / "run", folders(tmp_path / "data"), steps=1)
    run.write_json("data.json", run.read_json("data.json") | change)
    with pytest.raises(DataError, match=r"data\.json does not say the shares of the classes; train the run again"):
        families.resume(run.path, steps=2)
    run.write_json("data.json", run.read_json("data.json") | {"classes": ["one"]})
    with pytest.raises(DataError, match="does not name the 2 classes"):
        predict(run, tmp_path / "data" / "dark")


def test_trained_weights_are_found_again(tmp_path):
    run = trained(tmp_path / "run", folders(tmp_path / "data"))
    network = trained_network(run, run.settings(NestedViTConfig))
    stored = load_file(run.weights)
    assert not network.training
    for name, value in network.state_dict().items():
        assert torch.equal(stored[f"learner.network.{name}"], value)
