"""The same command under torchrun: the weights of one process, one end for all, and no process left behind."""

import fcntl
import os
import signal
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.launched import is_alive, run, start, wait_until, workers_of
from tests.tolerances import assert_identity

from theodolite import families
from theodolite.data.rows import open_rows
from theodolite.engine import checkpoint
from theodolite.kernel import launch
from theodolite.kernel.runs import RunFolder

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed package")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

TRAIN = ("-m", "theodolite", "linear-vae", "train")
SETTINGS = ("--device", "cpu", "--no-race", "--latent-dim", "2", "--batch-size", "21", "--reduction", "fixed")


def weights(path):
    return load_file(path / "model.safetensors")


def test_two_processes_train_what_one_trains(tmp_path):
    # 147 samples are not divided by two
    settings = ("--steps", "20", "--device", "cpu", "--batch-size", "147")
    together = run(2, *TRAIN, *settings, "--out", str(tmp_path / "two"))
    assert together.returncode == 0, together.stderr_text
    assert together.stdout_text.count("trained:") == 1
    assert "lightning" not in together.stderr_text.lower()
    assert "distributed_backend" not in together.stderr_text
    families.train("linear-vae", tmp_path / "one", steps=20, device="cpu", batch_size=147)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, value in one.items():
        assert_identity(two[name], value)


def test_more_processes_than_samples_are_refused(tmp_path):
    refused = run(2, *TRAIN, "--batch-size", "1", "--device", "cpu", "--out", str(tmp_path / "two"))
    assert refused.returncode != 0
    assert "a batch of 1 samples leaves some of 2 processes without one; take --batch-size 2" in refused.stderr_text
    assert not (tmp_path / "two").exists()


def has_begun(path):
    metrics = path / "metrics.jsonl"
    return lambda: metrics.is_file() and metrics.stat().st_size > 0


def long_run(path):
    """A training on two processes that would go on for minutes, after its first steps."""
    process = start(2, *TRAIN, *SETTINGS, "--steps", "100000", "--checkpoint-every", "20", "--out", str(path))
    assert wait_until(has_begun(path)), process.communicate(timeout=10)
    return process


BROKEN = """
import torch
from tests.engine.line import Line
from theodolite.engine.loop import fit
from theodolite.kernel.errors import TheodoliteError
from theodolite.kernel.settings import TrainSettings

class Broken(Line):  # by one sample, which one process has
    def losses(self, part):
        if 77 in part.ids and self.memory:
            raise MemoryError
        return {"loss": super().losses(part)["loss"] * (torch.nan if 77 in part.ids else 1)}

for Broken.memory, reduction in ((False, "plain"), (False, "fixed"), (True, "fixed")):
    try:
        fit(Broken(), TrainSettings(steps=50, device="cpu", reduction=reduction))
    except TheodoliteError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
"""


def test_what_breaks_in_one_process_ends_all(tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    began = time.monotonic()
    done = run(2, str(tmp_path / "broken.py"))
    assert time.monotonic() - began < 100
    assert done.returncode != 0
    assert done.stdout_text.count("DivergedError: the loss is nan at step 0; try") == 4
    assert "MemoryError" in done.stderr_text


@on_linux
@pytest.mark.parametrize(("number", "to"), [(signal.SIGTERM, "launcher"), (signal.SIGINT, "one worker")])
def test_a_signal_to_any_process_ends_all_after_the_same_step(tmp_path, number, to):
    path = tmp_path / "run"
    process = long_run(path)
    workers = workers_of(process)
    began = time.monotonic()
    os.kill(process.pid if to == "launcher" else workers[1], number)
    _, complaints = process.communicate(timeout=60)
    assert time.monotonic() - began < 20
    assert not any(map(is_alive, workers))
    steps = checkpoint.load(RunFolder(path))["step"]
    assert complaints.count(f"theodolite: stopped by {number.name} after step {steps} of 100000; continue") == 2
    assert "Traceback" not in complaints.partition("elastic")[0]
    if to == "one worker":
        assert f"exitcode  : {128 + number}" in complaints
    assert not (path / "model.safetensors").exists()


@on_linux
def test_workers_end_with_a_killed_launcher_and_the_run_goes_on(tmp_path):
    path = tmp_path / "run"
    process = long_run(path)
    workers = workers_of(process)
    assert len(workers) == 2
    process.kill()
    assert wait_until(lambda: not any(map(is_alive, workers)), seconds=5)
    process.communicate(timeout=10)
    with (path / "LOCK").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    steps = checkpoint.load(RunFolder(path))["step"]
    again = start(1, *TRAIN, "--resume", "--out", str(path))
    assert wait_until(lambda: any(row["step"] > steps + 20 for row in RunFolder(path).metrics()))
    again.send_signal(signal.SIGTERM)
    _, complaints = again.communicate(timeout=60)
    assert again.returncode == 143
    assert "stopped by SIGTERM after step" in complaints
    assert checkpoint.load(RunFolder(path))["step"] > steps


def test_a_signal_before_the_first_step_is_one_line_too():
    code = (
        "import time\nfrom theodolite import cli, families\n"
        "def slow(*_, **__):\n    print('begun', flush=True)\n    time.sleep(60)\n"
        "families.plan = slow\ncli.main(['gan', 'plan'])"
    )
    process = start(1, "-c", code)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGTERM)
    _, complaints = process.communicate(timeout=20)
    assert process.returncode == 143
    assert complaints == "theodolite: stopped by SIGTERM\n"


def test_a_process_outside_a_launch_is_left_alone(monkeypatch):
    monkeypatch.setattr(launch.ctypes, "CDLL", None)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    launch.end_with_launcher()


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_launcher_that_ended_before_is_noticed(platform, monkeypatch):
    killed = []
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setattr(launch, "_PARENT", -1)
    monkeypatch.setattr(launch.sys, "platform", platform)
    monkeypatch.setattr(launch.ctypes, "CDLL", lambda _: type("Library", (), {"prctl": lambda *_: 0}))
    monkeypatch.setattr(launch.os, "kill", lambda *arguments: killed.append(arguments))
    launch.end_with_launcher()
    assert wait_until(lambda: len(killed) == (2 if platform == "darwin" else 1), seconds=5)
    assert set(killed) == {(os.getpid(), signal.SIGKILL)}


def test_each_process_reads_its_share_of_the_rows(tmp_path):
    rows = np.random.default_rng(0).standard_normal((6000, 500)) @ np.diag(np.linspace(3, 1, 500))
    np.save(tmp_path / "x.npy", rows)
    blocks = list(open_rows(tmp_path / "x.npy").blocks())
    assert len(blocks) > 1
    settings = ("--data", str(tmp_path / "x.npy"), "--method", "closed-form", "--no-race", "--latent-dim", "3")
    together = run(2, *TRAIN, *settings, "--out", str(tmp_path / "two"))
    assert together.returncode == 0, together.stderr_text
    assert RunFolder.open(tmp_path / "two").read_json("environment.json")["processes"] == 2
    families.train(
        "linear-vae", tmp_path / "one", data=str(tmp_path / "x.npy"), method="closed-form", race=False, latent_dim=3
    )
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, value in one.items():
        assert_identity(two[name], value)
