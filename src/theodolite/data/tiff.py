"""What the directories of a TIFF file say, held against the file's size before anything is decoded.

Only the tags that pixels need are read; whatever else a file carries is never touched.
"""

import math
import os
import struct
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from theodolite.kernel.errors import DataError

LARGEST_CHUNK = 64 * 2**20  # bytes of one decoded tile or strip
MOST_PIXELS = 2**34
MOST_CHUNKS = 2**22
MOST_DIRECTORIES = 4096
MOST_ENTRIES = 4096
MOST_LEVELS = 32
MOST_VALUES = 2**16  # of a tag other than the tables of tiles
NONE, LZW, JPEG, DEFLATE, PACKBITS, OLD_DEFLATE = 1, 5, 7, 8, 32773, 32946
COMPRESSIONS = {
    NONE: "none", LZW: "LZW", JPEG: "JPEG", DEFLATE: "deflate", OLD_DEFLATE: "deflate", PACKBITS: "PackBits",
}  # fmt: skip
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCC = 0, 1, 2, 3, 6
ADVICE = "convert it: vips tiffsave IN OUT --tile --compression deflate --bigtiff"

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_UNSIGNED = {1: "u1", 3: "u2", 4: "u4", 7: "u1", 13: "u4", 16: "u8", 18: "u8"}
# fmt: off
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 254, 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _ORIENTATION, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR, _PREDICTOR = 273, 274, 277, 278, 279, 284, 317
_COLOURS, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 320, 322, 323, 324, 325
_SUBDIRECTORIES, _FORMAT, _TABLES = 330, 339, 347
_READ = {
    _SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _STRIP_OFFSETS, _ORIENTATION, _SAMPLES,
    _ROWS, _STRIP_BYTES, _PLANAR, _PREDICTOR, _COLOURS, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES,
    _SUBDIRECTORIES, _FORMAT, _TABLES,
}
# fmt: on


class Chunks(NamedTuple):
    """Where each tile or strip lies in the file: arrays (planes, rows, columns) of bytes."""

    offsets: NDArray[np.uint64]
    counts: NDArray[np.uint64]


@dataclass(frozen=True)
class Layout:
    """One image of a file: its size, how its samples are stored, and where.

    A strip is a tile as wide as the image.

    Attributes
    ----------
    height, width : int
        Pixels, as stored.
    samples : int
        Of a pixel, 1 to 4.
    bits : int
        Of a sample, 8 or 16.
    compression, photometric, predictor, orientation : int
        As TIFF numbers them.
    separate : bool
        Whether each sample has tiles of its own.
    tiled : bool
        Whether the chunks are tiles; else they are strips.
    chunk_height, chunk_width : int
        Pixels of a chunk.
    big_endian : bool
        Order of bytes in a sample.
    colours : array (3, 2^bits) or None
        Of the palette, 16 bits each.
    tables : bytes
        Of JPEG, without start and end.
    chunks : Chunks
        Places in the file.
    """

    height: int
    width: int
    samples: int
    bits: int
    compression: int
    photometric: int
    predictor: int
    orientation: int
    separate: bool
    tiled: bool
    chunk_height: int
    chunk_width: int
    big_endian: bool
    colours: NDArray[np.uint16] | None
    tables: bytes
    chunks: Chunks

    @property
    def chunk_samples(self) -> int:
        """Samples of a pixel in one chunk."""
        return 1 if self.separate else self.samples

    def chunk_rows(self, row: int) -> int:
        """Rows that a chunk of this row holds: the last strip is shorter."""
        return self.chunk_height if self.tiled else min(self.chunk_height, self.height - row * self.chunk_height)

    def named(self, row: int, column: int) -> str:
        """What a person calls a chunk."""
        return f"tile (row {row}, column {column})" if self.tiled else f"strip {row}"


class Tiff:
    """The directories of an open file.

    Parameters
    ----------
    descriptor : int
        Of the file; read by place, so that threads do not disturb each other.
    size : int
        Of the file, in bytes.
    name : str
        What errors call it.

    Raises
    ------
    DataError
        If the file is no TIFF, is cut short, or its directories loop.
    """

    def __init__(self, descriptor: int, size: int, name: str) -> None:
        self._descriptor, self._size, self._name = descriptor, size, name
        start = self._at(0, 16 if size >= 16 else 8)
        if start[:2] not in (b"II", b"MM"):
            raise DataError(f"{name} is no TIFF file")
        self.order = "<" if start[:2] == b"II" else ">"
        version = self._number(start[2:4])
        if version == 43 and len(start) == 16 and self._number(start[4:6]) == 8:
            self._big, first = True, self._number(start[8:16])
        elif version == 42:
            self._big, first = False, self._number(start[4:8])
        else:
            raise DataError(f"{name} is no TIFF file (version {version})")
        self._seen: set[int] = set()
        self.pages = self._chain(first)
        if not self.pages:
            raise DataError(f"{name} holds no image")

    def levels(self) -> list[Layout]:
        """Return the first image and its reductions, largest first; what cannot be one of these is passed over.

        Raises
        ------
        DataError
            If the first image itself is not one that can be read.
        """
        found = [self.layout(self.pages[0])]
        within = [self._page(int(place))[0] for place in self._values(self.pages[0], _SUBDIRECTORIES, ())]
        smaller = [page for page in within or self.pages[1:] if self._size_of(page) < self._size_of(self.pages[0])]
        for page in smaller[:MOST_LEVELS]:
            try:
                layout = self.layout(page)
            except DataError:  # a label or a thumbnail in another coding
                continue
            if _reduces(layout, found[-1], found[0]):
                found.append(layout)
        return found

    def other_images(self) -> int:
        """Count the pages of the size of the first one: channels, depths or times, which are not read."""
        sizes = [self._size_of(page) for page in self.pages]
        return sizes[1:].count(sizes[0])

    def layout(self, page: "Page") -> Layout:
        """Check one directory, its tables of tiles included, against what is read and what is there."""
        one, name = self._one, self._name
        height, width = one(page, _HEIGHT, 0), one(page, _WIDTH, 0)
        if not height or not width or height * width > MOST_PIXELS:
            raise DataError(f"{name} claims {width} × {height} pixels; 1 to {MOST_PIXELS:,} are read")
        samples, compression = one(page, _SAMPLES, 1), one(page, _COMPRESSION, NONE)
        photometric, bits = one(page, _PHOTOMETRIC, BLACK_IS_ZERO), self._same(page, _BITS, 1)
        self._check_kind(page, samples, bits, compression, photometric)
        tiled = _TILE_WIDTH in page
        tall = one(page, _TILE_HEIGHT, 0) if tiled else min(one(page, _ROWS, 2**32 - 1), height)
        wide = one(page, _TILE_WIDTH, 0) if tiled else width
        separate = samples > 1 and one(page, _PLANAR, 1) == 2
        needed = tall * wide * (1 if separate else samples) * bits // 8
        if not needed or needed > LARGEST_CHUNK:
            raise DataError(
                f"{name} has {'tiles' if tiled else 'strips'} of {wide} × {tall} px, {needed / 2**20:.0f} MiB each; "
                f"at most {LARGEST_CHUNK / 2**20:.0f} are decoded at once: {ADVICE}"
            )
        grid = (samples if separate else 1, math.ceil(height / tall), math.ceil(width / wide))
        orientation = one(page, _ORIENTATION, 1)
        colours = self._palette(page, bits) if photometric == PALETTE else None
        tables = self._bytes(page, _TABLES)[2:-2] if compression == JPEG else b""
        layout = Layout(
            height, width, samples, bits, compression, photometric, one(page, _PREDICTOR, 1),
            orientation if orientation in range(1, 9) else 1, separate, tiled, tall, wide, self.order == ">", colours,
            tables, self._chunks(page, tiled, grid),
        )  # fmt: skip
        self._check_places(layout, needed)
        return layout

    def _check_kind(self, page: "Page", samples: int, bits: int, compression: int, photometric: int) -> None:
        name = self._name
        if compression not in COMPRESSIONS:
            known = ", ".join(dict.fromkeys(COMPRESSIONS.values()))
            raise DataError(f"{name} is compressed in a way that is not read (number {compression}; {known} are)")
        if bits not in (8, 16) or self._same(page, _FORMAT, 1) != 1:
            raise DataError(f"{name} has samples of {bits} bits, or signed ones; whole ones of 8 or 16 are read")
        allowed = {WHITE_IS_ZERO: (1,), BLACK_IS_ZERO: (1, 2), RGB: (3, 4), PALETTE: (1,), YCC: (3,)}
        if samples not in allowed.get(photometric, ()) or (photometric == YCC and compression != JPEG):
            raise DataError(
                f"{name} has {samples} samples a pixel of photometric kind {photometric}; grey, grey and alpha, RGB, "
                f"RGB and alpha or a palette are read (inks and others: vips colourspace IN OUT srgb)"
            )
        predictor = self._one(page, _PREDICTOR, 1)
        if predictor not in (1, 2) or self._one(page, _FILL_ORDER, 1) != 1 or self._one(page, _PLANAR, 1) not in (1, 2):
            raise DataError(f"{name} stores its samples in a way that is not read; {ADVICE}")
        separate = self._one(page, _PLANAR, 1) == 2 and samples > 1
        if compression == JPEG and (bits != 8 or samples in (2, 4) or separate or photometric == PALETTE):
            raise DataError(f"{name} is JPEG with {samples} samples of {bits} bits; 1 or 3 of 8 bits are read")

    def _palette(self, page: "Page", bits: int) -> NDArray[np.uint16]:
        values = self._values(page, _COLOURS, (), 3 * 2**16)
        if len(values) != 3 << bits:
            raise DataError(f"{self._name} has a palette of {len(values) // 3} colours; {1 << bits} are needed")
        return np.asarray(values, dtype=np.uint16).reshape(3, -1)

    def _chunks(self, page: "Page", tiled: bool, grid: tuple[int, int, int]) -> Chunks:
        count = math.prod(grid)
        if count > MOST_CHUNKS:
            raise DataError(f"{self._name} has {count:,} tiles or strips; at most {MOST_CHUNKS:,} are read: {ADVICE}")
        tags = (_TILE_OFFSETS, _TILE_BYTES) if tiled else (_STRIP_OFFSETS, _STRIP_BYTES)
        arrays = [self._values(page, tag, (), count) for tag in tags]
        if any(len(array) != count for array in arrays):
            raise DataError(
                f"{self._name} is damaged: it needs {count} {'tiles' if tiled else 'strips'} and gives the places of "
                f"{len(arrays[0])}, the sizes of {len(arrays[1])}"
            )
        offsets, counts = (np.asarray(array, dtype=np.uint64).reshape(grid) for array in arrays)
        return Chunks(offsets, counts)

    def _check_places(self, layout: Layout, needed: int) -> None:
        offsets, counts = layout.chunks
        size = np.uint64(self._size)
        outside = (offsets > size) | (counts > size) | (counts > size - np.minimum(offsets, size))
        for wrong, why in (
            (counts == 0, "is missing"),
            (outside, f"lies beyond the end of the file ({self._size:,} bytes): the file is cut short"),
            (counts > np.uint64(2 * needed + 2**16), f"claims more bytes than its {needed:,} decoded ones need"),
        ):
            if wrong.any():
                _, row, column = np.argwhere(wrong)[0]
                raise DataError(
                    f"{self._name}: {layout.named(int(row), int(column))} {why}; {int(wrong.sum()):,} of "
                    f"{wrong.size:,} are so"
                )

    def _chain(self, place: int) -> "list[Page]":
        pages = []
        while place:
            page, place = self._page(place)
            pages.append(page)
        return pages

    def _page(self, place: int) -> "tuple[Page, int]":
        """Read a directory, and the place of the next one."""
        head, step, tail, wide = (8, 20, 8, "Q") if self._big else (2, 12, 4, "I")
        if place in self._seen or len(self._seen) >= MOST_DIRECTORIES:
            raise DataError(f"{self._name} is damaged: its directories loop, or are more than {MOST_DIRECTORIES:,}")
        self._seen.add(place)
        count = self._number(self._at(place, head))
        if not 0 < count <= MOST_ENTRIES:
            raise DataError(f"{self._name} is damaged: a directory of {count:,} entries")
        rows = self._at(place + head, count * step + tail)
        page: Page = {}
        for row in range(0, count * step, step):
            tag, kind, number = struct.unpack_from(f"{self.order}HH{wide}", rows, row)
            if tag in _READ:
                if tag in page:
                    raise DataError(f"{self._name} is damaged: tag {tag} stands twice in a directory")
                page[tag] = _Entry(kind, number, rows[row + step - tail : row + step])
        return page, self._number(rows[count * step :])

    def _values(self, page: "Page", tag: int, default: tuple[int, ...], most: int = MOST_VALUES) -> Any:
        if tag not in page:
            return default
        kind, count, inside = page[tag]
        if kind not in _UNSIGNED or not 0 < count <= most:
            raise DataError(f"{self._name} is damaged: tag {tag} has {count:,} values of type {kind}")
        return np.frombuffer(self._content(kind, count, inside), dtype=self.order + _UNSIGNED[kind])

    def _content(self, kind: int, count: int, inside: bytes) -> bytes:
        length = count * _SIZES[kind]
        return inside[:length] if length <= len(inside) else self._at(self._number(inside), length)

    def _bytes(self, page: "Page", tag: int) -> bytes:
        return bytes(self._values(page, tag, ()))

    def _one(self, page: "Page", tag: int, default: int) -> int:
        values = self._values(page, tag, (default,))
        if len(values) != 1:
            raise DataError(f"{self._name} is damaged: tag {tag} has {len(values)} values; one is needed")
        return int(values[0])

    def _size_of(self, page: "Page") -> tuple[int, int]:
        return self._one(page, _HEIGHT, 0), self._one(page, _WIDTH, 0)

    def _same(self, page: "Page", tag: int, default: int) -> int:
        values = set(self._values(page, tag, (default,)))
        if len(values) != 1:
            raise DataError(f"{self._name} has samples of different kinds; one kind is read")
        return int(values.pop())

    def _at(self, place: int, length: int) -> bytes:
        content = os.pread(self._descriptor, length, place) if place + length <= self._size else b""
        if len(content) != length or not length:
            raise DataError(f"{self._name} is cut short, or damaged: {length} bytes at {place} are not there")
        return content

    def _number(self, content: bytes) -> int:
        return int.from_bytes(content, "little" if self.order == "<" else "big")


class _Entry(NamedTuple):
    """Type and number of the values of a tag, and the bytes that hold these or their place."""

    kind: int
    number: int
    inside: bytes


Page = dict[int, _Entry]


def _reduces(layout: Layout, larger: Layout, base: Layout) -> bool:
    """Whether an image is a smaller picture of the same: sides in proportion, up to rounding at every halving."""
    skew = abs(base.height * layout.width - base.width * layout.height)
    return (
        layout.height <= larger.height
        and layout.width <= larger.width
        and (layout.height, layout.width) != (larger.height, larger.width)
        and layout.tiled == base.tiled
        and (layout.samples, layout.bits) == (base.samples, base.bits)
        and skew <= 2 * max(base.height, base.width)
    )
