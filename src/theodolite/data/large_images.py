"""Images of any size, read by window: TIFF by tile or strip, .npy mapped into memory, PNG and JPEG whole in a budget.

Files are hostile until proven otherwise: what a header claims is held against budgets and against the file's size
before anything is decoded, only the formats named here are read, and each decoder is the one that a name promises.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from theodolite.data.mapped import NpyPixels
from theodolite.data.names import said
from theodolite.data.pictures import MOST_PIXELS, Header, Picture, jpeg_header, png_header
from theodolite.data.tiff import COMPRESSIONS, LZW, PACKBITS, Tiff
from theodolite.data.tiff_tiles import TiffPixels
from theodolite.data.vips import import_vips
from theodolite.kernel.errors import DataError, ResourceError, UsageError

FORMATS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".svs": "TIFF", ".npy": "NumPy",
}  # fmt: skip
LARGEST_BYTES = 512 * 2**20
CACHE_BYTES = 128 * 2**20
_LARGEST_SIDE = 2**31
_TURNS = {  # of EXIF: rows and columns exchanged, then rows reversed, columns reversed
    1: (False, False, False), 2: (False, False, True), 3: (False, True, True), 4: (False, True, False),
    5: (True, False, False), 6: (True, False, True), 7: (True, True, True), 8: (True, True, False),
}  # fmt: skip


class Pixels(Protocol):
    """What every kind of file gives: pixels as they are stored."""

    height: int
    width: int
    channels: int
    dtype: np.dtype[Any]

    def read(self, top: int, left: int, height: int, width: int) -> NDArray[Any]:
        """Read a window that lies within the image: a new array (height, width, channels)."""

    def check(self, progress: Callable[[], None]) -> None:
        """Decode everything once, or raise a `DataError` that names the damaged place."""


@dataclass(frozen=True)
class _Asked:
    """How an image was opened, so that another process can open it again."""

    path: Path
    level: int
    channels: int | None
    labels: bool
    largest_bytes: int
    cache_bytes: int


class LargeImage:
    """An open image; made by `open_image`.

    Threads may read windows at once. An image may be pickled, and read after a fork: it is opened again by its path,
    and refused where the file was changed meanwhile. Close it, or use it as a context.

    Attributes
    ----------
    path : Path
        Of the file.
    height, width : int
        Pixels, upright as the file's orientation says.
    channels : int
        1 grey, 2 grey and alpha, 3 red, green and blue, 4 these and alpha. Alpha is as stored, not applied.
    bits : int
        Of a sample, 8 or 16; nothing is rescaled.
    dtype : dtype
        uint8 or uint16.
    level : int
        Which reduction is read; 0 is the full image.
    levels : tuple of (int, int)
        Height and width of the full image and of its reductions.
    notes : tuple of str
        What a reader must know, a line each.
    """

    def __init__(self, asked: _Asked, stamp: tuple[int, int] | None = None) -> None:
        self._asked, self.path, self._name = asked, asked.path, said(asked.path)
        self._pixels: Pixels = _CLOSED
        self._descriptor: int | None = _opened(asked.path, self._name)
        try:
            self._stamp = _stamp(self._descriptor)
            if stamp not in (None, self._stamp):
                raise DataError(f"{self._name} was changed since it was first opened; start again")
            self._open()
        except OSError as error:
            self.close()
            raise DataError(f"cannot read {self._name}: {error.strerror or error}") from None
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        asked = self._asked
        self.notes: tuple[str, ...] = ()
        self._pixels, orientation, sizes = self._source()
        swapped, _, _ = self._turn = _TURNS[orientation]
        self.levels = tuple((size[1], size[0]) if swapped else size for size in sizes)
        self.level = asked.level
        self.height, self.width = self._pixels.height, self._pixels.width
        if swapped:
            self.height, self.width = self.width, self.height
        self.dtype, self.bits = self._pixels.dtype, 8 * self._pixels.dtype.itemsize
        self.channels = asked.channels or self._pixels.channels
        if self._pixels.channels > 2 > self.channels or (self._pixels.channels > 2 and self.channels == 2):
            raise UsageError(
                f"{self._name} is in colour, {self.channels} channel(s) were asked for; colour is not made grey: "
                f"ask for 3 or 4, or convert it"
            )

    def window(self, top: int, left: int, height: int, width: int) -> NDArray[Any]:
        """Read a window.

        Parameters
        ----------
        top, left : int
            Its first row and column.
        height, width : int
            Its size; it must lie within the image.

        Returns
        -------
        array (height, width, channels), uint8 or uint16
            A new one, contiguous.

        Raises
        ------
        UsageError
            If it does not lie within the image.
        DataError
            If what it needs of the file is damaged, or the file was changed meanwhile.
        ResourceError
            If it is larger than the budget, or the image is closed.
        """
        if self._descriptor is None:
            raise ResourceError(f"{self._name} is closed; open it again")
        inside = 0 <= top <= self.height - height and 0 <= left <= self.width - width
        if not inside or height < 1 or width < 1:
            raise UsageError(
                f"the window of {height} × {width} at ({top}, {left}) is not within {self._name}, which is "
                f"{self.height} × {self.width}"
            )
        if (needed := height * width * self.channels * self.bits // 8) > self._asked.largest_bytes:
            raise ResourceError(
                f"a window of {height} × {width} of {self._name} is {needed / 2**20:.0f} MiB, at most "
                f"{self._asked.largest_bytes / 2**20:.0f} are read at once; read smaller ones"
            )
        self._check_unchanged()
        swapped, rows_reversed, columns_reversed = self._turn
        top = self.height - top - height if rows_reversed else top
        left = self.width - left - width if columns_reversed else left
        try:
            if swapped:
                pixels = self._pixels.read(left, top, width, height).swapaxes(0, 1)
            else:
                pixels = self._pixels.read(top, left, height, width)
        except OSError as error:
            raise DataError(f"cannot read {self._name}: {error.strerror or error}") from None
        pixels = pixels[:: -1 if rows_reversed else 1, :: -1 if columns_reversed else 1]
        return np.ascontiguousarray(_in_channels(pixels, self.channels))

    def check(self, most_seconds: float | None = None) -> None:
        """Decode everything once, before time is spent on training.

        A tile in deflate is held against its checksum, every other one decoded; damage that leaves a sound stream of a
        coding without checksums shows nowhere.

        Parameters
        ----------
        most_seconds : float, optional
            Wall time after which to give up.

        Raises
        ------
        DataError
            At the first damaged tile, strip or file; the line names it.
        ResourceError
            If time is up.
        """
        if self._descriptor is None:
            raise ResourceError(f"{self._name} is closed; open it again")
        end = time.monotonic() + (most_seconds or 0.0)

        def progress() -> None:
            if most_seconds is not None and time.monotonic() > end:
                raise ResourceError(
                    f"{self._name} was not decoded within {most_seconds:g} s; allow more, or leave it out"
                )

        self._check_unchanged()
        self._pixels.check(progress)

    def close(self) -> None:
        """Close the file; what was decoded is forgotten."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            self._pixels = _CLOSED

    def __enter__(self) -> Self:
        """Return the image itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def __del__(self) -> None:
        """Close the file, where its user did not."""
        if getattr(self, "_descriptor", None) is not None:
            self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Give what opens the same file again."""
        return LargeImage, (self._asked, self._stamp)

    def _check_unchanged(self) -> None:
        assert self._descriptor is not None  # the callers asked
        if _stamp(self._descriptor) != self._stamp:
            raise DataError(f"{self._name} was changed while it was read; start again")

    def _source(self) -> tuple[Pixels, int, list[tuple[int, int]]]:
        """Open the file by the kind that its name promises: pixels, orientation and the sizes of all levels."""
        asked, name, size = self._asked, self._name, self._stamp[0]
        assert self._descriptor is not None  # just opened
        kind = FORMATS[asked.path.suffix.lower()]
        if kind == "TIFF":
            return self._tiff(Tiff(self._descriptor, size, name))
        if asked.level:
            raise UsageError(f"{name} has no level {asked.level}: only TIFF files have reductions")
        if kind == "NumPy":
            pixels = NpyPixels(self._descriptor, size, name)
            return pixels, 1, [(pixels.height, pixels.width)]
        if size > asked.largest_bytes:
            raise DataError(f"{name} is {size / 2**20:.0f} MiB; {_too_large(asked.largest_bytes)}")
        if kind == "PNG":
            header = png_header(self._descriptor, size, name)
        else:
            header = jpeg_header(os.pread(self._descriptor, size, 0), name)
        _check_budget(header, asked.largest_bytes, name)
        if header.bits == 16 and header.samples > 1:
            import_vips(f"{name}: 16-bit colour in PNG")
        picture = Picture(self._descriptor, size, "PNG" if kind == "PNG" else "JPEG", header, name, asked.labels)
        return picture, header.orientation, [(header.height, header.width)]

    def _tiff(self, file: Tiff) -> tuple[Pixels, int, list[tuple[int, int]]]:
        asked, name = self._asked, self._name
        assert self._descriptor is not None  # just opened
        levels = file.levels()
        if not 0 <= asked.level < len(levels):
            raise UsageError(f"{name} has no level {asked.level}: it has {len(levels)}, counted from 0")
        if others := file.other_images():
            self.notes = (f"{name} holds {others} more images of this size; the first is read",)
        layout = levels[asked.level]
        if layout.compression in (LZW, PACKBITS):
            import_vips(f"{name}: {COMPRESSIONS[layout.compression]} in TIFF")
        pixels = TiffPixels(self._descriptor, layout, name, asked.labels, asked.cache_bytes)
        return pixels, layout.orientation, [(each.height, each.width) for each in levels]


def open_image(
    path: str | Path,
    *,
    level: int = 0,
    channels: int | None = None,
    labels: bool = False,
    largest_bytes: int = LARGEST_BYTES,
    cache_bytes: int = CACHE_BYTES,
) -> LargeImage:
    """Open an image to read windows of it; nothing is decoded yet, but a file that is cut short is found.

    Parameters
    ----------
    path : str or Path
        A TIFF (tiles or strips; plain, deflate, LZW, PackBits or JPEG; a pyramid), PNG, JPEG or ``.npy``
        file. The last holds uint8 or uint16 of shape (height, width) or (height, width, 1 to 4).
    level : int
        Which reduction of a pyramid; 0 is the full image.
    channels : int, optional
        1 to 4: grey is repeated as colour, alpha dropped, or added opaque; colour is never made grey. Else as stored.
    labels : bool
        Whether the numbers themselves are wanted: indices of a palette, not its colours, and few bits not stretched.
    largest_bytes : int
        Budget for a PNG or JPEG file, decoding included, and for one window.
    cache_bytes : int
        Most decoded tiles that are kept, two rows of them at most; one should fit, where windows are read in rows.

    Raises
    ------
    DataError
        If the file is missing, cut short, damaged, of another kind, or larger than a budget. The line names it.
    UsageError
        If there is no such level, or colour would be made grey.
    ResourceError
        If 16-bit colour in PNG, LZW or PackBits is to be read and pyvips is not installed.
    """
    if channels not in (None, 1, 2, 3, 4):
        raise UsageError(f"channels={channels} is not 1, 2, 3 or 4")
    return LargeImage(_Asked(Path(path), level, channels, labels, largest_bytes, cache_bytes))


class _Closed:
    height = width = channels = 0
    dtype: np.dtype[Any] = np.dtype(np.uint8)

    def read(self, *_: int) -> NDArray[Any]:
        raise ResourceError("the image is closed; open it again")

    def check(self, progress: Callable[[], None]) -> None:
        raise ResourceError("the image is closed; open it again")


_CLOSED = _Closed()


def _opened(path: Path, name: str) -> int:
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{name} is no image that is read; give {', '.join(sorted(set(FORMATS.values())))}")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not make us wait
    except (OSError, ValueError) as error:  # a name may hold what no name can
        why = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"cannot open {name}: {why}; give the path of an image") from None
    if not S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError(f"{name} is no file; give the path of an image")
    return descriptor


def _stamp(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_size, found.st_mtime_ns


def _check_budget(header: Header, largest_bytes: int, name: str) -> None:
    height, width = header.height, header.width
    if not 0 < height < _LARGEST_SIDE or not 0 < width < _LARGEST_SIDE:
        raise DataError(f"{name} claims {width} × {height} pixels")
    if height * width > MOST_PIXELS:
        raise DataError(
            f"{name} claims {width} × {height} pixels; of PNG and JPEG, which are decoded whole, at most "
            f"{MOST_PIXELS:,} are read: convert it to a tiled TIFF"
        )
    if header.needed > largest_bytes:
        raise DataError(f"{name} needs {header.needed / 2**20:.0f} MiB to be decoded; {_too_large(largest_bytes)}")


def _too_large(largest_bytes: int) -> str:
    return (
        f"PNG and JPEG are decoded whole, at most {largest_bytes / 2**20:.0f} MiB are given: "
        f"convert it to a tiled TIFF: vips tiffsave IN OUT --tile --compression deflate --bigtiff"
    )


def _in_channels(pixels: NDArray[Any], channels: int) -> NDArray[Any]:
    """Repeat grey as colour, drop alpha or add an opaque one, until there are so many channels."""
    stored = pixels.shape[2]
    if stored == channels:
        return pixels
    colour = pixels[..., : stored - 1] if stored in (2, 4) else pixels
    if channels >= 3 and colour.shape[2] == 1:
        colour = np.repeat(colour, 3, axis=2)
    if channels in (1, 3):
        return colour
    if stored in (2, 4):
        return np.concatenate([colour, pixels[..., -1:]], axis=2)
    opaque = np.full((*pixels.shape[:2], 1), np.iinfo(pixels.dtype).max, pixels.dtype)
    return np.concatenate([colour, opaque], axis=2)
