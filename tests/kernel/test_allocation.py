"""Large memory that was freed is handed out again without new pages."""

import subprocess
import sys

import pytest

COUNT = """
import ctypes, resource, sys
from theodolite.kernel.allocation import keep_freed_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit("not there")
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
def turn():
    at = libc.malloc(64 * 2**20)
    ctypes.memset(at, 1, 64 * 2**20)
    libc.free(at)
turn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
turn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Pages that a second array of 64 MiB asks of the system."""
    ran = subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=False)
    if "not there" in ran.stderr:
        pytest.skip("the C library has no such option")
    return int(ran.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="an option of glibc")
def test_freed_memory_is_kept_where_that_is_asked_for():
    assert faults("kept") < 100 < faults("by itself")
