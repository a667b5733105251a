"""How training shows its course: a bar on a terminal, a line now and then elsewhere; always on stderr."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 10.0


class Report(Protocol):
    """Told after every step how many are done and what the loss was."""

    def __call__(self, done: int, loss: float) -> None: ...  # noqa: D102


@contextmanager
def progress(name: str, done: int, total: int, *, shown: bool = True) -> Iterator[Report]:
    """Show the course from step `done` to `total`: loss, steps a second, time left."""
    if not shown:
        yield lambda done, loss: None
    elif sys.stderr.isatty():
        with _bar(name, done, total) as report:
            yield report
    else:
        yield _lines(name, done, total)


@contextmanager
def _bar(name: str, start: int, total: int) -> Iterator[Report]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4g}  {task.fields[rate]:.1f} steps/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total, completed=start, loss=float("nan"), rate=0.0)
        began = time.monotonic()

        def report(done: int, loss: float) -> None:
            rate = (done - start) / max(time.monotonic() - began, 1e-9)
            bar.update(task, completed=done, loss=loss, rate=rate)

        yield report


def _lines(name: str, start: int, total: int) -> Report:
    began = last = time.monotonic()

    def report(done: int, loss: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _SECONDS_BETWEEN_LINES and done < total:
            return
        last = now
        rate = (done - start) / max(now - began, 1e-9)
        left = (total - done) / max(rate, 1e-9)
        print(
            f"{name}: step {done} of {total}, loss {loss:.4g}, {rate:.1f} steps/s, {left:.0f} s left", file=sys.stderr
        )

    return report
