"""Processes that decode videos: a file that crashes or stalls FFmpeg costs its process, not this one.

They are plain commands, not copies of this program: a script that trains need not guard its first lines. They end with
the process that began them, however that ends.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from theodolite.data.decoder import PATIENCE, STALLED
from theodolite.data.footage import Clips, Cut, Wanted
from theodolite.kernel.errors import DataError, TheodoliteError

MOST = 8
COMMAND = "from theodolite.data.decoder import main; main()"


def usual_count(jobs: int) -> int:
    """Return how many processes to start: as many as there are cores for each process of a launch, but few."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = cores // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    return max(1, min(MOST, jobs, share))


class Decoders:
    """Some processes that look at files and cut clips from them; close them, or use `started`."""

    def __init__(self, count: int) -> None:
        self.processes = [_start() for _ in range(count)]
        self.closed = False

    def lengths(self, files: Sequence[Path], most: int) -> list[tuple[str, int] | DataError]:
        """Return each file's SHA-256 and number of frames (up to `most`), or why it cannot be read."""
        jobs = [{"job": "look", "path": str(file), "most": most} for file in files]
        return [
            answer if isinstance(answer, DataError) else (answer[0]["sha256"], answer[0]["frames"])
            for answer in self._answers(jobs)
        ]

    def cut(self, wanted: Sequence[Wanted]) -> list[Cut | DataError]:
        """Cut clips from each file, or say why it cannot be read."""
        jobs = [{"job": "cut", **asdict(each)} for each in wanted]
        return [
            answer
            if isinstance(answer, DataError)
            else Cut(answer[1][0], answer[1][1], tuple(map(str, answer[0]["warnings"])))
            for answer in self._answers(jobs)
        ]

    def close(self) -> None:
        """End the processes and wait for them."""
        self.closed = True
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.communicate()  # closes the pipes, too

    def _answers(self, jobs: list[dict[str, Any]]) -> list[Any]:
        """Do jobs, whichever process is free next; answers stand in the order of the jobs."""
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(len(jobs)):
            waiting.put(number)
        answers: list[Any] = [None] * len(jobs)
        failures: list[BaseException] = []

        def serve(place: int) -> None:
            while not failures:
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    answers[number] = self._answer(place, jobs[number])
                except BaseException as error:  # told in the thread that waits
                    failures.append(error)

        threads = [threading.Thread(target=serve, args=(place,), daemon=True) for place in range(len(self.processes))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return answers

    def _answer(self, place: int, job: dict[str, Any]) -> Any:
        process = self.processes[place]
        try:
            told = _exchange(process, job)
        except (BrokenPipeError, EOFError):
            if self.closed:
                raise
            code = process.wait()
            process.communicate()
            self.processes[place] = _start()  # for the files after this one
            return DataError(f"{job['path']} {_why(code)}; leave it out")
        if "refused" in told[0]:
            return DataError(str(told[0]["refused"]))
        if "failed" in told[0]:
            raise TheodoliteError(f"{job['path']}: {told[0]['failed']}")
        return told


def _why(code: int) -> str:
    if code == STALLED:
        return f"gave no further frame in {PATIENCE:.0f} s of computing"
    return f"ended the process that decoded it ({f'signal {-code}' if code < 0 else f'code {code}'})"


def _start() -> Any:
    # our search path, so that the same modules are found; -P: not those of the folder we happen to be in
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, "-P", "-c", COMMAND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )


def _exchange(process: Any, job: dict[str, Any]) -> tuple[dict[str, Any], list[Clips]]:
    process.stdin.write(json.dumps(job).encode() + b"\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    told = json.loads(line)
    return told, [_array(process.stdout, shape) for shape in told.get("shapes", [])]


def _array(pipe: IO[bytes], shape: list[int]) -> Clips:
    array = np.empty(shape, np.uint8)
    view = array.data.cast("B") if array.size else memoryview(b"")
    done = 0
    while done < len(view):
        got = pipe.readinto(view[done:])  # type: ignore[attr-defined]
        if not got:
            raise EOFError
        done += got
    return array


@contextmanager
def started(jobs: int, count: int | None = None) -> Iterator[Decoders]:
    """Give processes for some jobs, `count` of them, and end them afterwards."""
    decoders = Decoders(count or usual_count(jobs))
    try:
        yield decoders
    finally:
        decoders.close()
