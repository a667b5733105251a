import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from theodolite.kernel.errors import ResourceError
from theodolite.nested_vit import boundaries
from theodolite.nested_vit.boundaries import Boundaries

LIKE = torch.zeros(1, dtype=torch.float64)


def test_what_was_written_is_read_and_other_windows_stay(tmp_path):
    kept = Boundaries((6, 4, 3), 2, LIKE, tmp_path)
    first, second = torch.rand(2, 4, 3, dtype=torch.float64), torch.rand(3, 4, 3, dtype=torch.float64)
    kept.write(0, slice(0, 2), first)
    kept.write(0, slice(2, 5), second)
    kept.write(1, slice(0, 2), second[:2])
    kept.write(0, slice(0, 2), 2 * first)  # a cotangent in its place
    assert torch.equal(kept.read(0, slice(0, 2)), 2 * first)
    assert torch.equal(kept.read(0, slice(2, 5)), second)
    assert torch.equal(kept.read(1, slice(0, 2)), second[:2])


def test_a_stage_that_is_not_kept_takes_nothing(tmp_path):
    kept = Boundaries((6, 4, 3), 1, LIKE, tmp_path)
    assert kept.keeps(0)
    assert not kept.keeps(1)
    kept.write(1, slice(0, 1), torch.ones(1, 4, 3))
    kept.forget(0)
    with pytest.raises(RuntimeError, match="was forgotten"):
        kept.read(0, slice(0, 1))


def test_no_file_is_left_not_even_while_it_is_used(tmp_path):
    kept = Boundaries((6, 4, 3), 2, LIKE, tmp_path)
    kept.write(0, slice(0, 6), torch.ones(6, 4, 3))
    assert not list(tmp_path.iterdir())


KILLED = """
import os, pathlib, signal, sys, torch
from theodolite.nested_vit.boundaries import Boundaries
kept = Boundaries((64, 64, 64), 2, torch.zeros(1), pathlib.Path(sys.argv[1]))
kept.write(0, slice(0, 64), torch.ones(64, 64, 64))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_nothing(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert not list(tmp_path.iterdir())


def test_a_disk_too_small_is_said_before_anything_is_written(tmp_path):
    with pytest.raises(ResourceError, match=r"stored boundaries take 36,.* MB; .* MB free: make room") as caught:
        Boundaries((10**6, 10**5, 2**10), 45, LIKE, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_meanwhile_is_said(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(boundaries.os, "posix_fallocate", full)
    with pytest.raises(ResourceError, match="No space left on device; name another folder by TMPDIR"):
        Boundaries((6, 4, 3), 2, LIKE, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_none_is_said(tmp_path):
    with pytest.raises(ResourceError, match=r"cannot be stored in .*No such file"):
        Boundaries((6, 4, 3), 2, LIKE, tmp_path / "absent")


def test_the_files_are_no_memory_of_the_process(tmp_path):
    """Anonymous memory stays where it was while 64 MiB are written to a boundary."""

    def anonymous():
        status = Path("/proc/self/status")
        if not status.is_file():
            pytest.skip("this system does not tell anonymous memory")
        return 1024 * int(status.read_text().split("RssAnon:")[1].split()[0])

    kept = Boundaries((64, 256, 512), 1, LIKE, tmp_path)
    piece = torch.ones(1, 256, 512, dtype=torch.float64)
    before = anonymous()
    for number in range(64):
        kept.write(0, slice(number, number + 1), piece)
    assert anonymous() - before < 2**23
