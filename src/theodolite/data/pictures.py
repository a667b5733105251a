"""PNG and JPEG files, which are decoded whole: their sizes and their ends are known before that."""

import os
import struct
import threading
import warnings
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin

from theodolite.data.jpeg import jpeg_structure
from theodolite.data.vips import decode_png
from theodolite.kernel.errors import DataError

MOST_PIXELS = 2**27
MOST_CHUNKS = 2**20
LARGEST_ANNOTATION = 2**20
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, for each colour type of PNG
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_GREY, _PALETTE = 0, 3
_ORIENTATION = 0x0112
_pillow = threading.Lock()  # warnings are switched off for the whole process while a header is read


class Header(NamedTuple):
    """What a file claims: size as stored, samples a pixel, bits, EXIF orientation, bytes that decoding takes."""

    height: int
    width: int
    samples: int
    bits: int
    orientation: int
    needed: int
    palette: bool = False
    transparent: bool = False


def png_header(descriptor: int, size: int, name: str) -> Header:
    """Walk the chunks of a PNG file from start to end; nothing is decoded.

    Raises
    ------
    DataError
        If it is none, or cut short.
    """
    if os.pread(descriptor, 8, 0) != _SIGNATURE:
        raise DataError(f"{name} is no PNG file")
    place, found, orientation, transparent, data = 8, None, 1, False, False
    for _ in range(MOST_CHUNKS):
        head = os.pread(descriptor, 8, place)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if len(head) < 8 or place + 12 + length > size:
            raise DataError(f"{name} is cut short: the chunk at byte {place:,} does not end within the file")
        if found is None and (kind != b"IHDR" or length != 13):
            raise DataError(f"{name} is no PNG file: its first chunk is no header")
        if kind == b"IHDR":
            if found:
                raise DataError(f"{name} is damaged: it has two headers")
            found = struct.unpack(">IIBB", os.pread(descriptor, 10, place + 8))
        elif kind == b"IEND":
            break
        elif kind == b"IDAT":
            data = True
        elif kind == b"eXIf" and length <= LARGEST_ANNOTATION:
            orientation = _orientation(os.pread(descriptor, length, place + 8))
        transparent |= kind == b"tRNS"
        place += 12 + length
    else:
        raise DataError(f"{name} has more than {MOST_CHUNKS:,} chunks; save it anew")
    if found is None or not data:
        raise DataError(f"{name} is damaged: it holds no pixels")
    width, height, bits, colour = found
    if bits not in _DEPTHS.get(colour, ()):
        raise DataError(f"{name} is damaged: {bits} bits of colour type {colour} are no PNG")
    palette = colour == _PALETTE
    samples, deep = _SAMPLES[colour], bits == 16
    a_pixel = (2 * samples if deep else 4 if samples > 1 else 1) + (2 * samples if deep and samples > 1 else 0)
    return Header(
        height, width, samples, max(8, bits), orientation, size + height * width * a_pixel, palette,
        transparent and palette,
    )  # fmt: skip


def jpeg_header(content: bytes, name: str) -> Header:
    """Walk the markers of a JPEG file from start to end; nothing is decoded.

    Raises
    ------
    DataError
        If it is none, is cut short, or holds inks.
    """
    structure = jpeg_structure(content, name)
    if structure.components == 4:
        raise DataError(f"{name} holds four inks, no light; convert it: vips colourspace IN OUT srgb")
    pixels = structure.height * structure.width
    a_pixel = (1 if structure.components == 1 else 4) + (2 * structure.components if structure.scans > 1 else 0)
    with _pillow, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with JpegImagePlugin.JpegImageFile(BytesIO(content)) as image:
                orientation = _as_orientation(image.getexif().get(_ORIENTATION, 1))
        except Exception:  # a picture with broken notes is still a picture; what else is wrong shows when it is decoded
            orientation = 1
    return Header(
        structure.height, structure.width, structure.components, 8, orientation, len(content) + pixels * a_pixel
    )


class Picture:
    """Pixels of a PNG or JPEG file, decoded whole when the first window is read.

    Threads may read at once; the first decodes, the others wait.

    Parameters
    ----------
    descriptor, size : int
        Of the file.
    kind : {"PNG", "JPEG"}
        Format.
    header : Header
        What was found in the file.
    name : str
        What errors call it.
    labels : bool
        Whether numbers are wanted as they are stored: indices, not the palette's colours, few bits not stretched to 8.
    """

    def __init__(self, descriptor: int, size: int, kind: str, header: Header, name: str, labels: bool) -> None:
        self._descriptor, self._size, self._kind, self._name = descriptor, size, kind, name
        self._header, self._labels = header, labels
        self.height, self.width = header.height, header.width
        coloured = header.palette and not labels
        self._mode = ("RGBA" if header.transparent else "RGB") if coloured else None
        self.channels = header.samples if self._mode is None else len(self._mode)
        self.dtype: np.dtype[Any] = np.dtype(f"u{header.bits // 8}")
        self._lock, self._process = threading.Lock(), os.getpid()
        self._image: Image.Image | NDArray[Any] | None = None

    def read(self, top: int, left: int, height: int, width: int) -> NDArray[Any]:
        """Read a window that lies within the image: a new array (height, width, channels)."""
        image = self._decoded()
        if not isinstance(image, Image.Image):
            return image[top : top + height, left : left + width].copy()
        part = image.crop((left, top, left + width, top + height))
        pixels = np.array(part if self._mode is None else part.convert(self._mode))
        pixels = pixels.astype(self.dtype, copy=False).reshape(height, width, self.channels)
        if self._labels and self._kind == "PNG" and not self._header.palette and image.mode == "L":
            return pixels // self._stretch  # Pillow stretches grey of few bits to 8
        return pixels if self._labels or image.mode != "1" else pixels * np.uint8(255)

    def check(self, progress: Any) -> None:
        """Decode the file once.

        Raises
        ------
        DataError
            If it is damaged.
        """
        self._decoded()
        progress()

    @property
    def _stretch(self) -> np.uint8:
        bits = os.pread(self._descriptor, 1, 24)[0]
        return np.uint8(255 // ((1 << bits) - 1))

    def _decoded(self) -> Image.Image | NDArray[Any]:
        if self._process != os.getpid():  # after a fork the lock may be held by a thread that is not there
            self._lock, self._process = threading.Lock(), os.getpid()
        with self._lock:
            if self._image is None:
                deep = self._header.bits == 16 and self._header.samples > 1
                content = os.pread(self._descriptor, self._size, 0)
                self._image = self._by_vips(content) if deep else self._by_pillow(content)
            return self._image

    def _by_pillow(self, content: bytes) -> Image.Image:
        opened = PngImagePlugin.PngImageFile if self._kind == "PNG" else JpegImagePlugin.JpegImageFile
        try:
            with _pillow, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image: Image.Image = opened(BytesIO(content))
            if image.size != (self.width, self.height):
                raise DataError(f"{self._name} was changed while it was read")
            image.load()
        except DataError:
            raise
        except Exception as error:  # decoders fail in many ways on damaged bytes
            raise DataError(f"{self._name} is damaged: {_first_line(error)}") from None
        return image

    def _by_vips(self, content: bytes) -> NDArray[Any]:
        try:
            return decode_png(content, (self.height, self.width, self.channels))
        except ValueError as error:
            raise DataError(f"{self._name} is damaged: {error}") from None


def _orientation(notes: bytes) -> int:
    exif = Image.Exif()
    try:
        with _pillow, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif.load(b"Exif\0\0" + notes)
            return _as_orientation(exif.get(_ORIENTATION, 1))
    except Exception:  # broken notes turn no picture
        return 1


def _as_orientation(value: Any) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
