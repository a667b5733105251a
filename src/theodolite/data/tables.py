"""Tables of numbers from a user's file: .npy or .csv, one sample a row. The file is hostile until proven otherwise."""

import hashlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from theodolite.kernel.errors import DataError

LARGEST_BYTES = 2 * 2**30  # of the table in float64; a text file may be as large


class Table(NamedTuple):
    """Rows (n, d) in float64, all finite, and the SHA-256 of the file they came from."""

    values: NDArray[np.float64]
    sha256: str


def read_table(path: Path) -> Table:
    """Read a two-dimensional table of finite numbers.

    Parameters
    ----------
    path : Path
        A ``.npy`` file of booleans, integers or floats, or a ``.csv`` file with commas and at most one line of names.

    Raises
    ------
    DataError
        If the file is missing, not of this kind, damaged, too large, empty, not two-dimensional, or holds a value that
        is not finite. Nothing in it is executed, and its header is checked against its length before it is read.
    """
    readers = {".npy": _read_npy, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise DataError(f"{path} is neither .npy nor .csv; give one of these, or the name of an embedded set (digits)")
    if not path.is_file():
        raise DataError(f"no file at {path}")
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            values = readers[path.suffix.lower()](path, file)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(f"{path} has shape {values.shape}; two dimensions are needed, (samples, features), none empty")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"{path} holds {values[row, column]} in row {row}, column {column}; remove or fill such values")
    return Table(values, sha256)


def _read_npy(path: Path, file: BinaryIO) -> NDArray[np.float64]:
    try:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
    except Exception as error:  # NumPy's parser of headers lets through whatever the damage provokes in it
        raise DataError(f"{path} is not a NumPy file, or damaged ({type(error).__name__} in its header)") from None
    if dtype.kind not in "biuf":
        raise DataError(f"{path} holds {dtype}; plain numbers are needed (nothing pickled is read)")
    count = int(np.prod(shape, dtype=object))
    there = path.stat().st_size - file.tell()
    if count * dtype.itemsize != there or any(side < 0 for side in shape):
        raise DataError(
            f"{path} is damaged: shape {shape} of {dtype} is {count * dtype.itemsize} bytes, {there} are there"
        )
    _check_size(path, count)
    file.seek(0)
    try:
        return np.asarray(np.load(file, allow_pickle=False), dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:  # a version, or a shape, that no array has
        raise DataError(f"{path} is damaged: {str(error).splitlines()[0]}") from None


def _read_csv(path: Path, file: BinaryIO) -> NDArray[np.float64]:
    # the shortest number and its comma are two bytes
    _check_size(path, path.stat().st_size // 2)
    try:
        lines = file.read().decode("utf-8-sig").splitlines()
        if not any(line.strip() for line in lines):
            raise DataError(f"{path} is empty")
        named = not all(_is_number(cell) for cell in lines[0].split(","))
        if not any(line.strip() for line in lines[named:]):
            raise DataError(f"{path} holds names and no numbers")
        return np.loadtxt(lines, delimiter=",", skiprows=int(named), ndmin=2, comments=None, dtype=np.float64)
    except ValueError as error:  # a UnicodeDecodeError is one
        raise DataError(f"{path} cannot be read as comma-separated numbers: {_reason(error)}") from None


def _reason(error: ValueError) -> str:
    """What NumPy found, without its advice to programmers."""
    return str(error).splitlines()[0].split("; use ")[0]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _check_size(path: Path, count: int) -> None:
    if count * 8 > LARGEST_BYTES:
        raise DataError(
            f"{path} needs {count * 8 / 2**30:.1f} GiB as float64; at most {LARGEST_BYTES / 2**30:.0f} are read"
        )
