import mmap
import sys

import numpy as np
import pytest

from theodolite.kernel import anonymous
from theodolite.kernel.anonymous import anonymous_bytes, watching

MIB = 2**20
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells anonymous memory apart")


@linux
def test_memory_that_was_given_back_was_seen():
    before = anonymous_bytes()
    new = mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE)  # the C library may have kept old ones
    with watching() as most, new:
        new.write(b"1" * (64 * MIB))
        most.look()
    assert most.bytes - before > 60 * MIB


@linux
def test_pages_of_mapped_files_are_no_memory_of_the_process(tmp_path):
    before = anonymous_bytes()
    with watching() as most:
        mapped = np.lib.format.open_memmap(tmp_path / "a.npy", mode="w+", dtype=np.float64, shape=(8 * MIB,))
        mapped[:] = 1
        most.look()
        assert mapped.sum() == 8 * MIB
    assert most.bytes - before < 16 * MIB


def test_what_fails_inside_is_not_swallowed():
    with pytest.raises(ZeroDivisionError), watching():
        raise ZeroDivisionError


def test_where_the_system_does_not_tell_it_is_the_most_of_all(monkeypatch):
    monkeypatch.setattr(anonymous.Path, "is_file", lambda path: False)
    assert anonymous_bytes() >= MIB
