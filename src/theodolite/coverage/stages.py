"""How an audit shows its course: a bar on a terminal, a line now and then elsewhere; always on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Tell = Callable[[str], None]

SECONDS_BETWEEN_LINES = 5.0
COUNT = 8  # stages of an audit, about equal in nothing but their place


def silent(stage: str) -> None:
    """Tell nobody."""
    del stage


@contextmanager
def told_on_stderr(name: str) -> Iterator[Tell]:
    """Show each stage as it begins, with the seconds since the first."""
    if sys.stderr.isatty():
        with _bar(name) as tell:
            yield tell
    else:
        yield _lines(name)


@contextmanager
def _bar(name: str) -> Iterator[Tell]:
    from rich.console import Console  # half a second that only a terminal needs
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(name), BarColumn(bar_width=20), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=COUNT)
        begun = 0

        def tell(stage: str) -> None:
            nonlocal begun
            bar.update(task, completed=min(begun, COUNT - 1), description=stage)
            begun += 1

        yield tell


def _lines(name: str) -> Tell:
    began = last = time.monotonic()
    begun = 0

    def tell(stage: str) -> None:
        nonlocal begun, last
        begun += 1
        now = time.monotonic()
        if now - last < SECONDS_BETWEEN_LINES:
            return
        last = now
        print(f"{name}: {stage} (stage {min(begun, COUNT)} of {COUNT}, {now - began:.0f} s)", file=sys.stderr)

    return tell
