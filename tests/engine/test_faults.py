"""Every write of a whole training fails once, in every way a disk fails: the next attempt ends as if none had."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.engine.line import Line, make_run

from theodolite.engine import checkpoint
from theodolite.engine.loop import fit
from theodolite.kernel.errors import ResourceError

FIELDS = {"steps": 9, "checkpoint_every": 3, "log_every": 2}
KINDS = {errno.ENOSPC: "make room for 0.1 MB", errno.EIO: "may be failing", errno.EACCES: "allow writing there"}


io_open = io.open


class Faults:
    """Lets the calls below a folder that write be counted, and the one of that number fail.

    Parameters
    ----------
    folder : Path
        Calls for files elsewhere are let through.
    number : int
        Which call fails, from 1; 0 for none.
    kind : int
        The error number it fails with.
    """

    def __init__(self, folder, number, kind):
        self.folder, self.number, self.kind = folder, number, kind
        self.calls = []

    def install(self, monkeypatch):
        for module, name in ((io, "open"), (os, "open"), (os, "fsync"), (os, "replace"), (os, "unlink")):
            monkeypatch.setattr(module, name, self.watched(name, getattr(module, name)))

    def watched(self, name, call):
        def watching(first, *arguments, **words):
            path = Path(f"/proc/self/fd/{first}").resolve() if isinstance(first, int) else Path(first)
            reading = call is io_open and not set(arguments[0]) & set("wax")
            absent = name == "unlink" and not path.exists()
            if reading or absent or not path.is_relative_to(self.folder):
                return call(first, *arguments, **words)
            self.count(name, str(path))
            opened = call(first, *arguments, **words)
            return Failing(opened, self) if name == "open" and isinstance(opened, io.IOBase) else opened

        return watching

    def count(self, name, path):
        self.calls.append((name, path))
        if len(self.calls) == self.number:
            raise OSError(self.kind, os.strerror(self.kind))


class Failing:
    """A file whose writes are counted; the one that fails has written half."""

    def __init__(self, file, faults):
        self.file, self.faults = file, faults

    def write(self, content):
        try:
            self.faults.count("write", self.file.name)
        except OSError:
            self.file.write(content[: len(content) // 2])
            self.file.flush()
            raise
        return self.file.write(content)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)


def end(run):
    """What a run is judged by: the bytes of its weights, and its losses by step."""
    return run.weights.read_bytes(), [(row["step"], row["loss"]) for row in run.metrics()]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run, training = make_run(tmp_path_factory.mktemp("runs") / "whole", **FIELDS)
    fit(Line(), training, run)
    return end(run)


def count_calls(tmp_path):
    run, training = make_run(tmp_path / "counted", **FIELDS)
    faults = Faults(run.path, 0, 0)
    with pytest.MonkeyPatch.context() as monkeypatch:
        faults.install(monkeypatch)
        fit(Line(), training, run)
    return faults.calls


def test_all_that_is_written_passes_where_faults_are_put(tmp_path):
    calls = count_calls(tmp_path)
    assert {name for name, _ in calls} == {"open", "write", "fsync", "replace"}
    written = {Path(path).name.removesuffix(".part") for name, path in calls if name == "write"}
    assert written == {"metrics.jsonl", "last.ckpt", "model.safetensors", "environment.json"}
    assert sum(name == "replace" and "ckpt" in path for name, path in calls) == 4


@pytest.mark.parametrize(
    "kind", [errno.ENOSPC, *(pytest.param(kind, marks=pytest.mark.slow) for kind in (errno.EIO, errno.EACCES))]
)
def test_whichever_write_fails_the_next_attempt_ends_the_same(tmp_path, uninterrupted, kind):
    for number in range(1, len(count_calls(tmp_path)) + 1):
        run, training = make_run(tmp_path / str(number), **FIELDS)
        faults = Faults(run.path, number, kind)
        with pytest.MonkeyPatch.context() as monkeypatch:
            faults.install(monkeypatch)
            with pytest.raises(ResourceError) as caught:
                fit(Line(), training, run)
        message, (_, path) = str(caught.value), faults.calls[number - 1]
        assert KINDS[kind] in message
        assert "\n" not in message
        # the folder is named by the file in it that was being written
        assert path.removesuffix(".part") in message
        if run.checkpoint.exists():
            assert checkpoint.load(run)["step"] % 3 == 0
        assert len(run.metrics()) <= 5
        fit(Line(), training, run)
        assert end(run) == uninterrupted
        assert not list(run.path.glob("*.part"))


REAL = """
import resource, sys
from pathlib import Path
import torch
from tests.engine.line import Line, make_run
from theodolite.engine.loop import fit
from theodolite.kernel.errors import ResourceError

folder = Path(sys.argv[1])
whole, training = make_run(folder / "whole", steps=9, checkpoint_every=3, log_every=2)
fit(Line(), training, whole)
for limit in range(0, 6000, 250):
    run, training = make_run(folder / str(limit), steps=9, checkpoint_every=3, log_every=2)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        fit(Line(), training, run)
        raise SystemExit(0 if limit > 3000 else f"nothing failed at {limit}")
    except ResourceError as error:
        assert "limit on the size of a file reached while writing" in str(error), error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    fit(Line(), training, run)
    assert run.weights.read_bytes() == whole.weights.read_bytes()
raise SystemExit("every limit failed")
"""


def test_files_that_may_not_grow_stop_a_run_and_do_not_spoil_it(tmp_path):
    """No fault is put in: the system itself refuses, after as many bytes as it allows."""
    done = subprocess.run(
        [sys.executable, "-c", REAL, tmp_path], capture_output=True, text=True, check=False, timeout=200,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def test_half_a_line_of_metrics_hurts_neither_resuming_nor_reading(tmp_path, uninterrupted):
    run, training = make_run(tmp_path / "run", **FIELDS)
    fit(Line(), training.model_copy(update={"steps": 9}), run)
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')
    assert [row["step"] for row in run.metrics()] == [0, 2, 4, 6, 8]
    fit(Line(), training, run)
    assert end(run) == uninterrupted
    assert (run.path / "metrics.jsonl").read_text().count("\n") == 5


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    run, training = make_run(tmp_path / "run", **FIELDS)
    drafts = [run.checkpoint.with_name("last.ckpt.part"), run.exhibits / "missed.npy.part"]
    for draft in drafts:
        draft.write_bytes(b"half")
    fit(Line(), training, run)
    assert not any(draft.exists() for draft in drafts)
