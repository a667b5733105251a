"""What a process of a torchrun launch knows of the others, and that it ends with its launcher."""

import ctypes
import os
import signal
import sys
import threading
import time

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h
_SECONDS_BETWEEN_LOOKS = 1.0
_PARENT = os.getppid()  # when this process began, or soon after


def is_launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_first_process() -> bool:
    """Whether this process speaks and writes for all of a launch; true outside one."""
    return os.environ.get("RANK", "0") == "0"


def launch_name() -> str:
    """What the processes of one launch have in common, and those of another have not."""
    return f"{os.environ.get('MASTER_PORT', '')}/{os.getppid()}" if "RANK" in os.environ else ""


def end_with_launcher() -> None:
    """Let this process end when its launcher does, however that ends; outside a launch nothing happens.

    A killed torchrun leaves its processes behind, which would train on beside those of the next launch. What is lost
    is what SIGKILL costs at any time: the steps since the last checkpoint.
    """
    if not is_launched():
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, daemon=True).start()
    if os.getppid() != _PARENT:  # it ended before this was asked for
        os.kill(os.getpid(), signal.SIGKILL)


def _watch() -> None:
    while os.getppid() == _PARENT:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os.kill(os.getpid(), signal.SIGKILL)
