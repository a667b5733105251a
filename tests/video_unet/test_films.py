"""Training on a folder of videos: resumed, or by two processes, it ends where one that went through ends."""

import pytest
import torch
from safetensors.torch import load_file
from tests.launched import run
from tests.video_unet.conftest import TINY

from theodolite import families
from theodolite.cli import main
from theodolite.data.clips import clip
from theodolite.data.videos import write_video
from theodolite.kernel.errors import InterruptedRun
from theodolite.video_unet import train as of_train
from theodolite.video_unet.train import VideoUNetTask

FIELDS = {"batch_size": 4, "steps": 6, "device": "cpu", "reduction": "fixed", "compare_skips": False}


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for number in range(2):
        write_video(folder / f"{number}.mp4", clip(0, number, 40, 24, 32), 10)
    return folder


@pytest.fixture(scope="module")
def weights(films, tmp_path_factory):
    """Weights of a training that went through."""
    return trained(films, tmp_path_factory.mktemp("through") / "run")


def trained(films, out, **changed):
    families.train("video-unet", out, **{**TINY, **FIELDS, "data": str(films), **changed})
    return load_file(out / "model.safetensors")


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_resumed_run_sees_the_same_clips(films, weights, tmp_path, monkeypatch):
    class Stopped(VideoUNetTask):
        def step(self, at):
            if at.number == 3:
                raise InterruptedRun("stopped", 2)
            return super().step(at)

    monkeypatch.setattr(of_train, "VideoUNetTask", Stopped)
    with pytest.raises(InterruptedRun):
        trained(films, tmp_path / "run", checkpoint_every=3)
    monkeypatch.undo()
    families.resume(tmp_path / "run")
    assert_same(load_file(tmp_path / "run" / "model.safetensors"), weights)


@pytest.mark.slow
def test_two_processes_see_the_clips_that_one_sees(films, weights, tmp_path):
    fields = {**TINY, **FIELDS, "data": str(films)}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in fields.items() if name != "compare_skips"]
    out = tmp_path / "two"
    together = run(2, "-m", "theodolite", "video-unet", "train", "--no-compare-skips", *words, "--out", str(out))
    assert together.returncode == 0, together.stderr_text
    assert_same(load_file(out / "model.safetensors"), weights)


def test_other_films_give_other_weights(films, weights, tmp_path):
    """That the two tests above could fail."""
    (tmp_path / "films").mkdir()
    write_video(tmp_path / "films" / "0.mp4", clip(0, 7, 40, 24, 32), 10)
    others = trained(tmp_path / "films", tmp_path / "run")
    assert any(not torch.equal(others[name], weights[name]) for name in weights)


def test_what_is_wrong_with_files_is_printed_when_training_ends(films, tmp_path, capsys):
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "0.mp4").write_bytes((films / "0.mp4").read_bytes())
    (folder / "bad\x1b[31m.mp4").write_text("no video")
    fields = TINY | {"data": str(folder), "steps": 1, "device": "cpu"}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in fields.items()]
    with pytest.raises(SystemExit) as ended:
        main(["video-unet", "train", "--no-compare-skips", *words, "--out", str(tmp_path / "run")])
    assert ended.value.code == 0
    told = capsys.readouterr()
    (line,) = [line for line in told.err.splitlines() if line.startswith("theodolite: left out: ")]
    assert "bad\\x1b[31m.mp4 cannot be read as a video" in line
    assert told.out.startswith("trained: ")


def test_a_bad_film_leaves_no_run_behind(tmp_path, capsys):
    (tmp_path / "bad.mp4").write_text("no video")
    with pytest.raises(SystemExit) as ended:
        main(["video-unet", "train", "--data", str(tmp_path / "bad.mp4"), "--out", str(tmp_path / "run")])
    assert ended.value.code == 3
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "run").exists()
