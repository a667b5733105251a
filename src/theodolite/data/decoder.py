"""What a process that decodes videos does: a line of JSON in, a line of JSON and the bytes of its arrays out."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from theodolite.data import footage, videos
from theodolite.kernel.errors import TheodoliteError

SECONDS_BETWEEN_LOOKS = 0.5
STALLED = 75
"""Exit code of a process that computed for `PATIENCE` seconds without another frame."""
PATIENCE = 120.0


def main() -> None:
    """Answer jobs until there are none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that began us decides
    watch = _Watch(os.getppid())
    threading.Thread(target=watch.run, daemon=True).start()
    for line in sys.stdin.buffer:
        watch.progress()
        told, arrays = _done(json.loads(line), watch.progress)
        _tell(sys.stdout.buffer, told, arrays)


class _Watch:
    """Ends this process where the one that began it has ended, or where a file brings decoding to a stand."""

    def __init__(self, began_by: int) -> None:
        self.began_by, self.seconds = began_by, time.process_time()

    def progress(self) -> None:
        """Note that there is some."""
        self.seconds = time.process_time()

    def run(self) -> None:
        """Look every now and then, in a thread of its own; processor seconds, for a machine may be busy."""
        while os.getppid() == self.began_by:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            if time.process_time() - self.seconds > PATIENCE:
                os._exit(STALLED)
        os._exit(1)


def _done(job: dict[str, Any], progress: Callable[[], None]) -> tuple[dict[str, Any], list[footage.Clips]]:
    kind = job.pop("job")
    try:
        if kind == "look":
            path = Path(job["path"])
            sha256 = footage.fingerprint(path)
            progress()
            return {"sha256": sha256, "frames": videos.count_frames(path, job["most"])}, []
        made = footage.cut(footage.Wanted(**job), progress)
        return {"warnings": made.warnings}, [made.training, made.held_out]
    except MemoryError:
        return {"refused": f"{job['path']} needs more memory than there is; leave it out"}, []
    except TheodoliteError as refusal:
        return {"refused": str(refusal)}, []
    except Exception as error:
        problem = str(error).splitlines()[0] if str(error) else ""
        return {"failed": f"a defect of theodolite, {type(error).__name__}: {problem}"}, []


def _tell(pipe: BinaryIO, told: dict[str, Any], arrays: list[footage.Clips]) -> None:
    pipe.write(json.dumps(told | {"shapes": [array.shape for array in arrays]}).encode() + b"\n")
    for array in arrays:
        pipe.write(array.data.cast("B") if array.size else b"")
    pipe.flush()
