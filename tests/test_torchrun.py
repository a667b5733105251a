"""The same command under torchrun: two processes, the weights of one."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from tests.tolerances import assert_identity

COMMAND = ["-m", "theodolite", "linear-vae", "train", "--steps", "20", "--device", "cpu"]


def start(launcher, out, batch):
    return subprocess.run(
        [*launcher, *COMMAND, "--batch-size", str(batch), "--out", str(out)],
        capture_output=True, text=True, check=False, timeout=180, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed package")
def test_two_processes_train_what_one_trains(tmp_path):
    together = start(TORCHRUN, tmp_path / "two", 98)
    assert together.returncode == 0, together.stderr
    assert together.stdout.count("trained:") == 1
    assert start([sys.executable], tmp_path / "one", 98).returncode == 0
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, weights in one.items():
        assert_identity(two[name], weights)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed package")
def test_a_batch_that_does_not_divide_is_refused(tmp_path):
    refused = start(TORCHRUN, tmp_path / "two", 99)
    assert refused.returncode != 0
    assert "a batch of 99 samples does not divide among 2 processes; take --batch-size 98" in refused.stderr
    assert not (tmp_path / "two").exists()
