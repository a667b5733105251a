"""Rows of a table that need not fit in memory: a file, a folder of files or an array, read in blocks."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theodolite.data.arrays import npy_header
from theodolite.kernel.errors import DataError

BLOCK_BYTES = 8 * 2**20  # of rows held at once
KNOWN = "a .npy file (rows, features) or a folder of them"


@dataclass(frozen=True)
class _File:
    """One ``.npy`` file whose header was found true."""

    path: Path
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    columns_first: bool
    offset: int

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows from `start` to before `stop`; read, not mapped: a file cut short meanwhile is an error, not a crash."""
        if self.columns_first:
            return self.mapped()[start:stop]
        width = self.shape[1]
        at = self.offset + start * width * self.dtype.itemsize
        try:
            values = np.fromfile(self.path, self.dtype, (stop - start) * width, offset=at)
        except OSError as error:
            raise DataError(f"cannot read {self.path}: {error.strerror or error}") from None
        if values.size != (stop - start) * width:
            raise DataError(f"{self.path} has become shorter since it was opened; open it again")
        return values.reshape(-1, width)

    def mapped(self) -> NDArray[Any]:
        """The whole file, mapped: only what is touched is read."""
        try:
            now = _open_file(self.path)
        except OSError as error:
            raise DataError(f"cannot read {self.path}: {error.strerror or error}") from None
        if now != self:
            raise DataError(f"{self.path} has changed its shape from {self.shape} to {now.shape}; open it again")
        order: Literal["C", "F"] = "F" if self.columns_first else "C"
        return np.memmap(self.path, dtype=self.dtype, mode="r", offset=self.offset, shape=self.shape, order=order)


class Rows:
    """Rows (n, d) of a source, in order; made by `open_rows`.

    Attributes
    ----------
    shape : (int, int)
        Rows and features.
    dtype : dtype
        Of the numbers, as stored, in this machine's byte order.
    """

    def __init__(self, parts: list[_File] | NDArray[Any]) -> None:
        self._parts = parts if isinstance(parts, list) else [parts]
        self._ends = np.cumsum([part.shape[0] for part in self._parts])
        self.shape = (int(self._ends[-1]), int(self._parts[0].shape[1]))
        self.dtype = self._parts[0].dtype.newbyteorder("=")

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self, size: int | None = None) -> Iterator[NDArray[Any]]:
        """Yield all rows in order, `size` at a time (by default 8 MiB of them); a block may end early with its file."""
        size = size or max(1, BLOCK_BYTES // (self.shape[1] * self.dtype.itemsize))
        for part in self._parts:
            for start in range(0, part.shape[0], size):
                stop = min(start + size, part.shape[0])
                block = part.read(start, stop) if isinstance(part, _File) else part[start:stop]
                yield np.asarray(block, self.dtype)

    def take(self, ids: ArrayLike) -> NDArray[Any]:
        """Return the rows of these numbers (m,), in the order asked for, (m, d)."""
        wanted = np.asarray(ids, dtype=np.intp)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} are asked for; there are 0 to {len(self) - 1}")
        found = np.empty((len(wanted), self.shape[1]), self.dtype)
        homes = np.searchsorted(self._ends, wanted, side="right")
        for home in np.unique(homes):
            part = self._parts[home]
            here = homes == home
            values = part.mapped() if isinstance(part, _File) else part
            found[here] = values[wanted[here] - (self._ends[home] - part.shape[0])]
        return found

    def fingerprint(self) -> str:
        """SHA-256 of shape, type and numbers: the same for a file, the same rows in several files, or in memory."""
        digest = hashlib.sha256(f"{self.dtype.str} {self.shape[0]} {self.shape[1]}\n".encode())
        for block in self.blocks():
            digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()


def open_rows(source: str | Path | NDArray[Any]) -> Rows:
    """Open rows of numbers; of a file, only the header is read.

    Parameters
    ----------
    source : str, Path or array (n, d)
        A ``.npy`` file, or a folder of them, which are read in the order of their names (other files are left alone).

    Raises
    ------
    DataError
        If there is nothing, or not plain numbers of two axes, or a header does not agree with its file's size, or the
        files of a folder differ in width or type.
    """
    if isinstance(source, np.ndarray):
        return Rows(_checked_array(source))
    path = Path(source)
    try:
        if path.is_dir():
            return Rows(_open_folder(path))
        if path.is_file() and path.suffix.lower() == ".npy":
            return Rows([_open_file(path)])
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    raise DataError(f"{path} is {'of no known kind' if path.exists() else 'not there'}; give {KNOWN}")


def _open_folder(folder: Path) -> list[_File]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".npy" and path.is_file())
    if not paths:
        raise DataError(f"{folder} holds no .npy file; give {KNOWN}")
    first, *others = files = [_open_file(path) for path in paths]
    for file in others:
        if (file.shape[1], file.dtype) != (first.shape[1], first.dtype):
            raise DataError(
                f"{file.path} holds {file.shape[1]} features of {file.dtype}, {first.path.name} {first.shape[1]} of "
                f"{first.dtype}; the files of a folder must agree"
            )
    return files


def _open_file(path: Path) -> _File:
    with path.open("rb") as file:
        header = npy_header(file, str(path), path.stat().st_size)
    rows, width = _two_axes(header.shape, str(path))
    return _File(path, (rows, width), header.dtype, header.columns_first, header.offset)


def _checked_array(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in "biuf":
        raise DataError(f"the array holds {array.dtype}; plain numbers are needed")
    _two_axes(array.shape, "the array")
    return array


def _two_axes(shape: tuple[int, ...], name: str) -> tuple[int, int]:
    if len(shape) != 2:
        raise DataError(f"{name} has shape {shape}; two axes are needed, rows and features")
    if 0 in shape:
        raise DataError(f"{name} is empty: shape {shape}")
    return shape[0], shape[1]
