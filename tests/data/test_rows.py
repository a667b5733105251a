import io
import os
import struct
import subprocess
import sys

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
    (tmp_path / "parts" / "folder.npy").mkdir()
    return [VALUES, *(tmp_path / name for name in ("whole.npy", "columns.npy", "foreign.npy", "parts"))]


@pytest.mark.parametrize("size", [None, 1, 8, 1000])
def test_blocks_are_the_rows_in_order(sources, size):
    for source in sources:
        rows = open_rows(source)
        assert (rows.shape, rows.dtype, len(rows)) == ((50, 3), np.float32, 50)
        blocks = list(rows.blocks(size))
        assert all(len(block) <= (size or 50) and block.dtype == np.float32 for block in blocks)
        np.testing.assert_array_equal(np.concatenate(blocks), VALUES)


@pytest.mark.parametrize("ids", [[0], [49, 0, 7, 7, 6, 29, 30], [], range(50)])
def test_rows_are_taken_in_the_order_asked_for(sources, ids):
    for source in sources:
        np.testing.assert_array_equal(open_rows(str(source) if source is not VALUES else source).take(ids), VALUES[ids])


@pytest.mark.parametrize("ids", [[-1], [0, 50]])
def test_rows_that_are_not_there_are_not_taken(sources, ids):
    for source in sources:
        with pytest.raises(IndexError, match="there are 0 to 49"):
            open_rows(source).take(ids)


def test_the_fingerprint_is_of_the_numbers_not_of_how_they_are_kept(sources, tmp_path):
    found = {open_rows(source).fingerprint() for source in sources}
    assert len(found) == 1
    others = [VALUES + 1, VALUES.astype(float), VALUES.reshape(25, 6), VALUES[::-1], VALUES[:-1]]
    assert len(found | {open_rows(other).fingerprint() for other in others}) == 6


def _npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _header(text):
    body = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["not a NumPy array"]),
        (b"\x93NUMPY\x01", ["not a NumPy array"]),
        (_npy(VALUES)[:-1], ["damaged", "599 are there"]),
        (_npy(VALUES) + b"0", ["damaged", "601 are there"]),
        (_npy(np.array([[print]])), ["object", "nothing pickled"]),
        (_npy(np.array([["a"]])), ["plain numbers"]),
        (_npy(np.array([[1j]])), ["plain numbers"]),
        (_npy(np.zeros(3)), ["two axes"]),
        (_npy(np.zeros((2, 2, 2))), ["two axes"]),
        (_npy(np.float64(3)), ["single number"]),
        (_npy(np.zeros((0, 3))), ["empty"]),
        (_npy(np.zeros((3, 0))), ["empty"]),
        (_header("{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999, 9999999999), }"), ["damaged"]),
        (_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1), }") + bytes(8), ["damaged"]),
        (_header("{'descr': '<f8', 'fortran_order': False, 'shape': __import__('os').abort(), }"), ["not a NumPy"]),
    ],
)
def test_a_hostile_file_is_one_line_of_error(tmp_path, content, words):
    for path in (tmp_path / "x.npy", tmp_path):
        (tmp_path / "x.npy").write_bytes(content)
        with pytest.raises(DataError) as error:
            open_rows(path)
        message = str(error.value)
        assert "\n" not in message
        assert all(word in message for word in [*words, "x.npy"]), message


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(3), "two axes"),
        (np.zeros((0, 3)), "empty"),
        (np.array([[None]]), "plain numbers"),
        (np.array([["a"]]), "plain numbers"),
    ],
)
def test_a_hostile_array_is_one_line_of_error(array, words):
    with pytest.raises(DataError, match=words):
        open_rows(array)


@pytest.mark.parametrize("other", [VALUES[:, :2], VALUES.astype(float)])
def test_files_of_a_folder_must_agree(tmp_path, other):
    np.save(tmp_path / "a.npy", VALUES)
    np.save(tmp_path / "b.npy", other)
    with pytest.raises(DataError, match=r"b\.npy holds .* must agree"):
        open_rows(tmp_path)


def test_what_is_not_there_or_of_another_kind(tmp_path):
    with pytest.raises(DataError, match="is not there"):
        open_rows(tmp_path / "none.npy")
    with pytest.raises(DataError, match=r"no \.npy file"):
        open_rows(tmp_path)
    (tmp_path / "x.csv").write_text("1,2")
    with pytest.raises(DataError, match="of no known kind"):
        open_rows(str(tmp_path / "x.csv"))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    (tmp_path / "x.npy").chmod(0)
    with pytest.raises(DataError, match="cannot read"):
        open_rows(tmp_path / "x.npy")


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_cut_short_or_gone_after_it_was_opened(tmp_path, order):
    path = tmp_path / "x.npy"
    np.save(path, np.asarray(VALUES, order=order))
    rows = open_rows(path)
    os.truncate(path, path.stat().st_size - 100)
    for read in (lambda: list(rows.blocks()), lambda: rows.take([0])):
        with pytest.raises(DataError, match=r"shorter|damaged"):
            read()
    np.save(path, VALUES[:20])
    with pytest.raises(DataError, match="changed its shape"):
        rows.take([0])
    path.unlink()
    with pytest.raises(DataError, match="cannot read"):
        list(rows.blocks())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_is_that_of_a_block_not_of_the_file(tmp_path, order):
    """200 MB read in a process of its own that may hold 60 MB more; pages of a mapped file are the system's to take."""
    rows = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (200_000, 256), fortran_order=order == "F")
    rows.flush()
    del rows
    code = (
        "import sys; from theodolite.data.rows import open_rows\n"
        "held = lambda: int(open('/proc/self/status').read().split('RssAnon:')[1].split()[0])\n"
        "rows, base, most = open_rows(sys.argv[1]), held(), 0\n"
        "for block in rows.blocks(): most = max(most, held() - base)\n"
        "print(most)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x.npy")]
    assert int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) < 60_000
