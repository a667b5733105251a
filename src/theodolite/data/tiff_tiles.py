"""Tiles and strips of a TIFF file, decoded one by one, each checked; a few are kept.

Every tile is handed to its codec alone, with the size that its decoded bytes must have: zlib for deflate, whose
checksum is verified, Pillow for JPEG, libvips for LZW and PackBits. No codec sees the file's directories.
"""

import os
import threading
import zlib
from collections import OrderedDict
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import JpegImagePlugin

from theodolite.data.jpeg import interchangeable, jpeg_structure
from theodolite.data.tiff import (
    DEFLATE,
    JPEG,
    NONE,
    OLD_DEFLATE,
    RGB,
    WHITE_IS_ZERO,
    Layout,
)
from theodolite.data.vips import decompress
from theodolite.kernel.errors import DataError

HORIZONTAL = 2
"""The predictor that stores differences of neighbours."""


class TiffPixels:
    """Pixels of one image in a TIFF file.

    Threads may read at once: they share the kept tiles, and decode beside each other.

    Parameters
    ----------
    descriptor : int
        Of the file.
    layout : Layout
        Where the tiles lie.
    name : str
        What errors call the file.
    labels : bool
        Whether numbers are wanted as they are stored; else palettes become colours, and white is the largest.
    cache_bytes : int
        Decoded tiles kept, those used last; never more than two rows of tiles.
    """

    def __init__(self, descriptor: int, layout: Layout, name: str, labels: bool, cache_bytes: int) -> None:
        self.layout, self._descriptor, self._name = layout, descriptor, name
        _, _, columns = layout.chunks.offsets.shape
        row = layout.chunk_height * columns * layout.chunk_width * layout.samples * layout.bits // 8
        self._cache_bytes = min(cache_bytes, 2 * row)  # windows read row by row need no more
        self.height, self.width = layout.height, layout.width
        self._colours: NDArray[np.uint8] | None = None
        if layout.colours is not None and not labels:
            self._colours = np.right_shift(layout.colours, 8).astype(np.uint8)
        self._inverted = layout.photometric == WHITE_IS_ZERO and not labels
        self.channels = layout.samples if self._colours is None else 3
        self.dtype: np.dtype[Any] = np.dtype(np.uint8 if self._colours is not None else f"u{layout.bits // 8}")
        self._forget()

    def read(self, top: int, left: int, height: int, width: int) -> NDArray[Any]:
        """Read a window that lies within the image: a new array (height, width, channels)."""
        pixels = np.empty((height, width, self.channels), dtype=self.dtype)
        tall, wide = self.layout.chunk_height, self.layout.chunk_width
        for row in range(top // tall, (top + height - 1) // tall + 1):
            for column in range(left // wide, (left + width - 1) // wide + 1):
                chunk = self._chunk(row, column)
                down, right = row * tall, column * wide
                first, last = max(top, down), min(top + height, down + tall)
                start, end = max(left, right), min(left + width, right + wide)
                pixels[first - top : last - top, start - left : end - left] = chunk[
                    first - down : last - down, start - right : end - right
                ]
        return pixels

    def check(self, progress: Any) -> None:
        """Decode every tile once; `progress` is called after each.

        Raises
        ------
        DataError
            At the first tile that is damaged; the line names it.
        """
        _, rows, columns = self.layout.chunks.offsets.shape
        for row in range(rows):
            for column in range(columns):
                self._decoded(row, column)
                progress()

    def _chunk(self, row: int, column: int) -> NDArray[Any]:
        if self._process != os.getpid():
            self._forget()  # after a fork the lock may be held by a thread that is not there
        with self._lock:
            if (found := self._kept.get((row, column))) is not None:
                self._kept.move_to_end((row, column))
                return found
        decoded = self._decoded(row, column)
        with self._lock:
            if (row, column) not in self._kept:
                self._kept[row, column] = decoded
                self._kept_bytes += decoded.nbytes
            while self._kept_bytes > self._cache_bytes and len(self._kept) > 1:
                self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes
        return decoded

    def _forget(self) -> None:
        self._process, self._lock, self._kept_bytes = os.getpid(), threading.Lock(), 0
        self._kept: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()

    def _decoded(self, row: int, column: int) -> NDArray[Any]:
        planes = [self._plane(plane, row, column) for plane in range(len(self.layout.chunks.offsets))]
        samples = planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)
        if self._colours is not None:
            samples = np.moveaxis(self._colours[:, samples[..., 0]], 0, -1)
        return np.invert(samples) if self._inverted else samples

    def _plane(self, plane: int, row: int, column: int) -> NDArray[Any]:
        layout, place = self.layout, (plane, row, column)
        where = f"{self._name}: {layout.named(row, column)}"
        count = int(layout.chunks.counts[place])
        content = os.pread(self._descriptor, count, int(layout.chunks.offsets[place]))
        if len(content) != count:
            raise DataError(f"{where} is cut short: the file was changed while it was read")
        shape = (layout.chunk_rows(row), layout.chunk_width, layout.chunk_samples)
        try:
            if layout.compression == JPEG:
                return _from_jpeg(content, layout, shape, where)
            return _from_bytes(content, layout, shape, where)
        except DataError:
            raise
        except Exception as error:  # decoders fail in many ways on damaged bytes
            raise DataError(f"{where} is damaged: {(str(error).splitlines() or [type(error).__name__])[0]}") from None


def _from_jpeg(content: bytes, layout: Layout, shape: tuple[int, int, int], where: str) -> NDArray[Any]:
    structure = jpeg_structure(content, where)
    rows, columns, samples = shape
    fits = structure.width == columns and rows <= structure.height <= layout.chunk_height
    if not fits or structure.components != samples:
        raise DataError(
            f"{where} holds {structure.width} × {structure.height} pixels of {structure.components} components; "
            f"{columns} × {rows} of {samples} belong there"
        )
    whole = interchangeable(layout.tables, content, structure, layout.photometric != RGB)
    with JpegImagePlugin.JpegImageFile(BytesIO(whole)) as image:
        return np.asarray(image).reshape(structure.height, columns, samples)[:rows]


def _from_bytes(content: bytes, layout: Layout, shape: tuple[int, int, int], where: str) -> NDArray[Any]:
    rows, columns, samples = shape
    row_bytes = columns * samples * layout.bits // 8
    needed = rows * row_bytes
    if layout.compression == NONE:
        raw = content
    elif layout.compression in (DEFLATE, OLD_DEFLATE):
        raw = _inflated(content, layout.chunk_height * row_bytes, where)
    else:
        raw = decompress(content, layout.compression, row_bytes, rows)
    if len(raw) < needed:
        raise DataError(f"{where} is damaged: {len(raw):,} of {needed:,} bytes are there")
    kind = f"{'>' if layout.big_endian else '<'}u{layout.bits // 8}"
    stored = np.frombuffer(raw, dtype=kind, count=needed * 8 // layout.bits).reshape(shape)
    native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    return np.cumsum(native, axis=1, dtype=native.dtype) if layout.predictor == HORIZONTAL else native


def _inflated(content: bytes, most: int, where: str) -> bytes:
    """Inflate no further than a chunk may reach; zlib verifies its checksum where the stream ends."""
    stream = zlib.decompressobj()
    raw = stream.decompress(content, most + 1)
    if len(raw) > most or not stream.eof:
        raise DataError(f"{where} is damaged: its stream {'is too long' if len(raw) > most else 'does not end'}")
    return raw
