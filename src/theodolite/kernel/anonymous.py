"""How much memory of this process no file backs: pages of mapped files come and go as the system likes."""

import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EVERY = 0.005  # seconds between looks


class Most:
    """The most anonymous memory that was seen.

    Attributes
    ----------
    bytes : int
        So far.
    """

    def __init__(self) -> None:
        self.bytes = anonymous_bytes()

    def look(self) -> None:
        """Look once more."""
        self.bytes = max(self.bytes, anonymous_bytes())


def anonymous_bytes() -> int:
    """Bytes that this process holds and no file backs; where the system does not tell, the most it has held of all."""
    status = Path("/proc/self/status")
    if status.is_file():
        return 1024 * int(status.read_text(encoding="ascii").split("RssAnon:")[1].split()[0])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


@contextmanager
def watching() -> Iterator[Most]:
    """Look at the anonymous memory every few milliseconds while the block runs."""
    most, ended = Most(), threading.Event()

    def look() -> None:
        while not ended.wait(EVERY):
            most.look()

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()
        most.look()
