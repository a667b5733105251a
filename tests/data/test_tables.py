import contextlib
import os

import numpy as np
import pytest
from tests.tolerances import assert_identity

from theodolite.data import tables
from theodolite.data.tables import read_table
from theodolite.kernel.errors import DataError

VALUES = np.arange(12.0).reshape(4, 3) / 7


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, bool, ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_numpy_file_is_read_in_any_plain_type(tmp_path, dtype, order):
    values = np.asarray(VALUES.astype(dtype), order=order)
    np.save(tmp_path / "x.npy", values)
    table = read_table(tmp_path / "x.npy")
    np.testing.assert_array_equal(table.values, values.astype(float))
    assert table.values.dtype == np.float64
    assert len(table.sha256) == 64


@pytest.mark.parametrize("header", ["", "a,b,c\n", "\ufeffa,b,c\r\n"])
def test_a_text_file_is_read_with_and_without_names(tmp_path, header):
    lines = "\n".join(",".join(repr(float(value)) for value in row) for row in VALUES)
    (tmp_path / "x.csv").write_text(header + lines + "\n", encoding="utf-8")
    assert_identity(read_table(tmp_path / "x.csv").values, VALUES)


def test_one_column_stays_a_table(tmp_path):
    (tmp_path / "x.csv").write_text("1\n2\n3\n")
    assert read_table(tmp_path / "x.csv").values.shape == (3, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("a,b\n", "names and no numbers"),
        ("1,2\n3\n", "columns changed from 2 to 1 at row 2$"),
        ("1,2\n3,x\n", "cannot be read as comma-separated numbers"),
        ("1;2\n3;4\n", "cannot be read as comma-separated numbers"),
        ("1,2\n3,nan\n", "holds nan in row 1, column 1"),
        ("1,2\ninf,4\n", "holds inf in row 1, column 0"),
        ("1,1e999\n", "holds inf"),
    ],
)
def test_a_text_file_that_is_no_table_is_refused(tmp_path, text, message):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=message) as refusal:
        read_table(tmp_path / "x.csv")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[1, "x"]], dtype=object), "nothing pickled is read"),
        (np.array([["a", "b"]]), "plain numbers"),
        (np.array([[1j]]), "plain numbers"),
        (np.zeros((2, 2), dtype=[("a", float)]), "plain numbers"),
        (np.zeros(3), "two dimensions are needed"),
        (np.zeros((2, 2, 2)), "two dimensions are needed"),
        (np.zeros((0, 3)), "none empty"),
        (np.array([[1.0, np.nan]]), "holds nan in row 0, column 1"),
    ],
)
def test_a_numpy_file_that_is_no_table_is_refused(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / "x.npy")


def lying_header(shape, size=8):
    """A NumPy file of some bytes whose header claims this shape."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + b"\0" * size


@pytest.mark.parametrize("shape", ["(1000000, 1000000)", "(2, 2)", "(-1, -1)", "(99999999999999999999, 1)", "(0, 5)"])
def test_a_header_that_lies_is_refused_before_anything_is_allocated(tmp_path, shape):
    (tmp_path / "x.npy").write_bytes(lying_header(shape))
    with pytest.raises(DataError, match="is damaged"):
        read_table(tmp_path / "x.npy")


@pytest.mark.parametrize(("shape", "size"), [("(True, 1)", 8), ("(0, 99999999999999999999)", 0), (f"({'1,' * 99})", 8)])
def test_a_shape_that_no_array_has_is_refused(tmp_path, shape, size):
    (tmp_path / "x.npy").write_bytes(lying_header(shape, size))
    with pytest.raises(DataError, match="is damaged"):
        read_table(tmp_path / "x.npy")


def test_a_version_that_no_file_has_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    whole = bytearray((tmp_path / "x.npy").read_bytes())
    whole[6:10] = (9, 0, *whole[8:10])
    (tmp_path / "x.npy").write_bytes(whole[:10] + b"\0\0" + whole[10:])
    with pytest.raises(DataError, match="is damaged"):
        read_table(tmp_path / "x.npy")


def test_damaged_files_are_refused_in_one_line(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    whole = (tmp_path / "x.npy").read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for place in random.integers(0, 128, size=3):
            damaged[place] = random.integers(0, 256)
        (tmp_path / "x.npy").write_bytes(damaged[: random.integers(1, len(whole) + 1)])
        with contextlib.suppress(DataError):
            read_table(tmp_path / "x.npy")
            continue
        refused += 1
    # any other error has ended the test; what was read had its damage in the padding
    assert refused > 250


def test_what_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LARGEST_BYTES", 64)
    np.save(tmp_path / "x.npy", np.zeros((3, 3), dtype=np.int8))
    (tmp_path / "x.csv").write_text("1,2,3\n" * 10)
    for name in ("x.npy", "x.csv"):
        with pytest.raises(DataError, match="at most"):
            read_table(tmp_path / name)


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "folder.npy").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("missing.npy", "folder.npy", "pipe.csv"):
        with pytest.raises(DataError, match="no file at"):
            read_table(tmp_path / name)
    with pytest.raises(DataError, match="is neither"):
        read_table(tmp_path / "x.pickle")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe1,2\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "x.csv")
