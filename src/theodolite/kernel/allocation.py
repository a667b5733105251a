"""What the C library does with memory that is freed."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGE = 2**30


def keep_freed_memory() -> bool:
    """Have the C library keep what is freed for what comes next, up to a GiB at a time; say whether it will.

    By itself glibc maps every large array anew, and the system fills it with zeros page by page: a quarter of the time
    of a video network in bfloat16.
    """
    if sys.platform != "linux":
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return set_option is not None and all(
        set_option(option, value) for option, value in ((_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, 2 * _LARGE - 1))
    )
