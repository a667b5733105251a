"""Maps over an image, written as tiled TIFF while they are computed: rows in, tiles out, a row of tiles in memory."""

import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from theodolite.kernel.errors import ResourceError, UsageError
from theodolite.kernel.files import draft_of, fsync_folder, why_not_written

TILE = 256
LEVEL = 6  # of deflate
KINDS = {"uint8": 1, "uint16": 1, "float32": 3}  # TIFF's number of the sample format
_CLASSIC_BYTES = 2**32 - 2**20  # beyond, offsets need 64 bits
_SHORT, _LONG, _LONG8 = 3, 4, 16


class LabelMap:
    """A map that is written row by row; use it as a context.

    Where the context ends without an error, the file is put on disk and given its name; else nothing is left of it, and
    a file that was there before is intact.

    Parameters
    ----------
    path : str or Path
        Of the file; ``.tif`` or ``.tiff``.
    height, width : int
        Pixels.
    kind : dtype
        uint8 or uint16 for labels, float32 for other quantities.
    tile : int
        Height and width of a tile, a multiple of 16 px.

    Raises
    ------
    UsageError
        If a parameter cannot be meant, or rows are written that do not fit, or too few.
    ResourceError
        If the disk is full or refuses.

    Examples
    --------
    >>> with LabelMap("labels.tif", 512, 1000) as map_:  # doctest: +SKIP
    ...     for rows in predicted:  # arrays (any number of rows, 1000)
    ...         map_.write(rows)
    """

    def __init__(self, path: str | Path, height: int, width: int, kind: DTypeLike = np.uint8, tile: int = TILE) -> None:
        self.path, self.height, self.width, self.tile = Path(path), height, width, tile
        self.dtype: np.dtype[Any] = np.dtype(kind)
        if self.dtype.name not in KINDS:
            raise UsageError(f"a map of {self.dtype} cannot be written; give {', '.join(KINDS)}")
        if height < 1 or width < 1 or max(height, width) >= 2**31 or tile < 16 or tile % 16 or tile > 4096:
            raise UsageError(
                f"a map of {height} × {width} in tiles of {tile} cannot be written; tiles are 16, 32, … 4096"
            )
        if self.path.suffix.lower() not in (".tif", ".tiff"):
            raise UsageError(f"{self.path} does not end in .tif or .tiff, by which programs know what it is")
        self._columns = -(-width // tile)
        tiles = -(-height // tile) * self._columns
        self._largest = tiles * (tile * tile * self.dtype.itemsize + 1024)  # what does not deflate grows a little
        self._big = self._largest > _CLASSIC_BYTES
        self._rows = np.zeros((tile, self._columns * tile), dtype=self.dtype)
        self._filled, self._written = 0, 0
        self._offsets: list[int] = []
        self._counts: list[int] = []
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        """Begin the file, under the name of a draft."""
        try:
            draft = draft_of(self.path)
            draft.unlink(missing_ok=True)
            self._file = draft.open("xb")  # never through a link that somebody left there
            self._file.write(bytes(16))  # the header is written last
        except OSError as error:
            self._failed(error)
        return self

    def write(self, rows: NDArray[Any]) -> None:
        """Write the next rows, an array (any number, width)."""
        if self._file is None:
            raise UsageError(f"{self.path} is not being written; use it as a context")
        if rows.ndim != 2 or rows.shape[1] != self.width or rows.dtype != self.dtype:
            raise UsageError(
                f"rows of shape {rows.shape} and {rows.dtype} do not fit {self.path}: (any number, {self.width}) of "
                f"{self.dtype} do"
            )
        if self._written + len(rows) > self.height:
            raise UsageError(f"{self.path} has {self.height} rows; {self._written + len(rows)} were written")
        done = 0
        while done < len(rows):
            some = rows[done : done + self.tile - self._filled]
            self._rows[self._filled : self._filled + len(some), : self.width] = some
            self._filled, self._written, done = self._filled + len(some), self._written + len(some), done + len(some)
            if self._filled == self.tile or self._written == self.height:
                self._write_tiles()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the file and give it its name; after an error leave nothing."""
        if kind is not None or self._file is None:
            self._drop()
        elif self._written < self.height:
            self._drop()
            raise UsageError(f"{self.path} has {self.height} rows; only {self._written} were written")
        else:
            self._complete(self._file)

    def _write_tiles(self) -> None:
        assert self._file is not None  # the caller asked
        self._rows[self._filled :] = 0
        stored = self._rows.astype(self.dtype.newbyteorder("<"), copy=False)
        try:
            for column in range(self._columns):
                tile = stored[:, column * self.tile : (column + 1) * self.tile]
                content = zlib.compress(tile.tobytes(), LEVEL)
                self._offsets.append(self._file.tell())
                self._counts.append(len(content))
                self._file.write(content)
        except OSError as error:
            self._failed(error)
        self._filled = 0

    def _complete(self, file: BinaryIO) -> None:
        try:
            directory = self._directory(file.tell())
            file.write(directory.content)
            file.seek(0)
            if self._big:
                file.write(b"II" + struct.pack("<HHHQ", 43, 8, 0, directory.place))
            else:
                file.write(b"II" + struct.pack("<HI", 42, directory.place))
            file.flush()
            os.fsync(file.fileno())
            file.close()
            self._file = None
            draft_of(self.path).replace(self.path)
            fsync_folder(self.path.parent)
        except OSError as error:
            self._failed(error)

    def _directory(self, end: int) -> "_Directory":
        place_kind, place_code = (_LONG8, "Q") if self._big else (_LONG, "I")
        offsets = struct.pack(f"<{len(self._offsets)}{place_code}", *self._offsets)
        counts = struct.pack(f"<{len(self._counts)}I", *self._counts)
        start = end + end % 2
        tags = [
            (256, _LONG, self.width), (257, _LONG, self.height), (258, _SHORT, 8 * self.dtype.itemsize),
            (259, _SHORT, 8), (262, _SHORT, 1), (277, _SHORT, 1), (322, _LONG, self.tile), (323, _LONG, self.tile),
            (324, place_kind, offsets), (325, _LONG, counts), (339, _SHORT, KINDS[self.dtype.name]),
        ]  # fmt: skip
        body, entries = b"", b""
        for tag, kind, value in tags:
            packed = value if isinstance(value, bytes) else struct.pack("<H" if kind == _SHORT else "<I", value)
            number = len(packed) // {_SHORT: 2, _LONG: 4, _LONG8: 8}[kind]
            room = struct.calcsize(place_code)
            if len(packed) > room:
                packed, body = struct.pack(f"<{place_code}", start + len(body)), body + packed
            entries += struct.pack(f"<HH{place_code}", tag, kind, number) + packed.ljust(room, b"\0")
        head = struct.pack("<Q" if self._big else "<H", len(tags))
        gap = bytes(len(body) % 2)
        return _Directory(
            bytes(end % 2) + body + gap + head + entries + struct.pack(f"<{place_code}", 0),
            start + len(body) + len(gap),
        )

    def _failed(self, error: OSError) -> None:
        self._drop()
        raise ResourceError(why_not_written(self.path, self._largest, error, "the old file is intact")) from None

    def _drop(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # what was not written need not be
                self._file.close()
            self._file = None
        with suppress(OSError):
            draft_of(self.path).unlink(missing_ok=True)


class _Directory:
    """Bytes that end the file, and where its directory begins."""

    def __init__(self, content: bytes, place: int) -> None:
        self.content, self.place = content, place
