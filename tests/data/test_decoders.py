"""Processes that decode: the same clips from any number of them, files that break them, and none left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from theodolite.data import decoder, decoders, videos
from theodolite.data.clips import clip
from theodolite.data.footage import Wanted
from theodolite.kernel.errors import DataError, TheodoliteError


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for number in range(3):
        videos.write_video(folder / f"{number}.mkv", clip(0, number, 20, 24, 32), 10, lossless=True)
    return sorted(folder.iterdir())


def wanted(found, films):
    return [
        Wanted(str(path), sha256, 4, 16, 16, False, frames, training=9, held_out=1, share="tail")
        for path, (sha256, frames) in zip(films, found, strict=True)
    ]


def test_any_number_of_processes_cuts_the_same_clips(films):
    made = []
    for count in (1, 3):
        with decoders.started(len(films), count) as processes:
            found = processes.lengths(films, 1000)
            assert [frames for _, frames in found] == [20, 20, 20]
            made.append(processes.cut(wanted(found, films)))
    for one, other in zip(*made, strict=True):
        np.testing.assert_array_equal(one.training, other.training)
        np.testing.assert_array_equal(one.held_out, other.held_out)
        assert one.training.shape == (9, 4, 16, 16, 3)


def test_what_cannot_be_read_is_told_and_the_others_are_read(films, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video at all")
    with decoders.started(2, 1) as processes:
        first, second = processes.lengths([bad, films[0]], 1000)
    assert isinstance(first, DataError)
    assert "cannot be read as a video" in str(first)
    assert second[1] == 20


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"ended the process that decoded it \(signal 11\)"),
        ("decoder.PATIENCE = 0.2\nwhile True: pass", "gave no further frame in 120 s of computing"),
        ("raise MemoryError", "needs more memory than there is"),
    ],
)
def test_a_file_that_breaks_a_process_costs_that_process_only(films, monkeypatch, act, words):
    code = f"""
import os, signal
from theodolite.data import decoder, videos
count = videos.count_frames
def breaking(path, most=None):
    if path.name.startswith("0"):
        exec({act!r})
    return count(path, most)
videos.count_frames = breaking
decoder.main()
"""
    monkeypatch.setattr(decoders, "COMMAND", code)
    with decoders.started(3, 1) as processes:
        first, *others = processes.lengths(films, 1000)
    assert isinstance(first, DataError)
    assert str(first).startswith(str(films[0]))
    assert re.search(words, str(first))
    assert [frames for _, frames in others] == [20, 20]


def test_a_defect_is_no_fault_of_the_file(films, monkeypatch):
    code = "from theodolite.data import decoder, videos; videos.count_frames = None; decoder.main()"
    monkeypatch.setattr(decoders, "COMMAND", code)
    with decoders.started(1, 1) as processes, pytest.raises(TheodoliteError, match="a defect of theodolite, TypeError"):
        processes.lengths(films[:1], 1000)


def test_nothing_is_left_open(films):
    before = open_files()
    with decoders.started(3, 3) as processes:
        pids = [process.pid for process in processes.processes]
        processes.lengths(films, 1000)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert open_files() == before


def open_files():
    listed = Path("/proc/self/fd")
    return len(list(listed.iterdir())) if listed.is_dir() else 0


def test_they_end_with_the_process_that_began_them():
    """Killed without a chance to clean up; the script guards none of its first lines."""
    script = """
import time
from theodolite.data.decoders import Decoders
print(*[process.pid for process in Decoders(2).processes], flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
    assert len(pids) == 2
    deadline = time.monotonic() + 30
    while any(map(running, pids)):
        assert time.monotonic() < deadline, "a process outlived the one that began it"
        time.sleep(0.05)


def running(pid):
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_the_cores_are_shared_among_the_processes_of_a_launch(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert decoders.usual_count(100) == 6
    assert decoders.usual_count(2) == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert decoders.usual_count(100) == 1


def test_a_watch_knows_progress_from_standstill(monkeypatch):
    watch = decoder._Watch(os.getppid())
    watch.seconds = -decoder.PATIENCE - 1.0
    watch.progress()
    assert watch.seconds >= 0.0
