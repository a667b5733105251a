"""libvips, which is optional: what it alone decodes here, and what to install where it is missing.

It is given one tile, or one picture of known size, at a time. Of whole files it reads damaged tiles without an error.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theodolite.kernel.errors import ResourceError

INSTALL = "pip install 'theodolite[hires]'"


def import_vips(what: str) -> Any:
    """Import pyvips, because `what` needs it.

    Raises
    ------
    ResourceError
        If it is not there; the line says what to install.
    """
    try:
        import pyvips  # an optional extra
    except (ImportError, OSError):  # the second, where libvips itself is missing
        raise ResourceError(f"{what} needs pyvips: {INSTALL}") from None
    return pyvips


def decode_png(content: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint16]:
    """Decode a PNG file of 16 bits a sample.

    Raises
    ------
    ValueError
        If it is damaged, or not of this shape (height, width, channels).
    """
    pyvips = import_vips("16-bit colour in PNG")
    load = pyvips.Image.pngload_buffer
    raw = _decoded(lambda: load(content, access="sequential", fail_on="warning", revalidate=True))
    if len(raw) != 2 * shape[0] * shape[1] * shape[2]:
        raise ValueError("its pixels are not those that its header claims")
    return np.frombuffer(raw, dtype=np.uint16).reshape(shape)


def decompress(content: bytes, compression: int, row_bytes: int, rows: int) -> bytes:
    """Decompress by libtiff, which is given a TIFF file of our own: one strip of grey bytes with these contents.

    Parameters
    ----------
    content : bytes
        Of one tile or strip.
    compression : int
        As TIFF numbers it.
    row_bytes, rows : int
        Size of what comes out.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    tags = {
        256: row_bytes, 257: rows, 258: 8, 259: compression, 262: 1, 273: 0, 277: 1, 278: rows, 279: len(content),
    }  # fmt: skip
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    file = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + content
    load = import_vips("LZW or PackBits in TIFF").Image.tiffload_buffer
    return _decoded(lambda: load(file, access="sequential", fail_on="warning", revalidate=True))


def _decoded(load: Any) -> bytes:
    pyvips = import_vips("an image")
    try:
        return bytes(load().write_to_memory())
    except pyvips.Error as error:
        said = [line for line in str(error).splitlines() if line.strip()]
        raise ValueError(said[-1] if said else "it cannot be decoded") from None
