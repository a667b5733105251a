import numpy as np
import pytest

from theodolite.data.rows import open_rows
from theodolite.kernel.errors import DataError

VALUES = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)


@pytest.fixture
def sources(tmp_path):
    """The same rows as a file, as files, in another order or byte order, and in memory."""
    np.save(tmp_path / "whole.npy", VALUES)
    np.save(tmp_path / "columns.npy", np.asfortranarray(VALUES))
    np.save(tmp_path / "foreign.npy", VALUES.astype(VALUES.dtype.newbyteorder()))
    (tmp_path / "parts").mkdir()
    for number, part in enumerate(np.split(VALUES, [7, 30])):
        np.save(tmp_path / "parts" / f"{number}.npy", part)
    (tmp_path / "parts" / "notes.txt").write_text("left alone")
    return [VALUES, *(tmp_path / name for name in ("whole.npy", "columns.npy", "foreign.npy", "parts"))]


@pytest.mark.parametrize("size", [None, 1, 8, 1000])
def test_blocks_are_the_rows_in_order(sources, size):
    for source in sources:
        rows = open_rows(source)
        assert (rows.shape, rows.dtype, len(rows)) == ((50, 3), np.float32, 50)
        blocks = list(rows.blocks(size))
        assert all(len(block) <= (size or 50) and block.dtype == np.float32 for block in blocks)
        np.testing.assert_array_equal(np.concatenate(blocks), VALUES)


def test_what_is_no_table_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 4)))
    with pytest.raises(DataError, match="two axes"):
        open_rows(tmp_path / "x.npy")
