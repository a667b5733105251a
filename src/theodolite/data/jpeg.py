"""What the markers of a JPEG stream say, without decoding it."""

import re
from dataclasses import dataclass

from theodolite.kernel.errors import DataError

MOST_SCANS = 100
MOST_WORK = 2**30  # pixels times scans: some seconds of decoding
MOST_SEGMENTS = 2**14
_AFTER_A_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # restarts and stuffed bytes belong to the scan
_START, _END, _SCAN, _ADOBE = 0xD8, 0xD9, 0xDA, 0xEE
_FRAMES = {0xC0, 0xC1, 0xC2}  # Huffman coded: sequential, extended, progressive
_OTHER_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_ALONE = {0x01, *range(0xD0, 0xD8)}


@dataclass(frozen=True)
class JpegStructure:
    """Frame of a JPEG stream, and how much work it asks for.

    Attributes
    ----------
    width, height : int
        Pixels.
    components : int
        1, 3 or 4.
    bits : int
        Of a sample.
    scans : int
        Passes over the picture.
    kept : tuple of (int, int)
        Where the segments stand that decoding needs, from the first after the start to the scans, as (from, to).
    body : int
        Where the first scan begins.
    """

    width: int
    height: int
    components: int
    bits: int
    scans: int
    kept: tuple[tuple[int, int], ...]
    body: int


def jpeg_structure(content: bytes, name: str) -> JpegStructure:
    """Walk the markers of a stream from start to end.

    Parameters
    ----------
    content : bytes
        The stream; what follows its end is passed over.
    name : str
        What errors call it.

    Raises
    ------
    DataError
        If it is none, is cut short, of a kind that is not read, or asks for so much work as only a hostile one does.
    """
    frame: tuple[int, int, int, int] | None = None
    scans, place, body = 0, 2, 0
    kept: list[tuple[int, int]] = []
    if content[:2] != bytes((0xFF, _START)):
        raise DataError(f"{name} is no JPEG stream")
    for _ in range(MOST_SEGMENTS):
        while content[place : place + 2] == b"\xff\xff":  # fill bytes
            place += 1
        marker = _marker(content, place, name)
        if marker == _END:
            return _checked(frame, scans, tuple(kept), body, name)
        if marker in _ALONE:
            place += 2
            continue
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if end > len(content) or end < place + 4:
            raise DataError(f"{name} is cut short, or damaged, at byte {place}")
        if marker in _OTHER_FRAMES or (marker in _FRAMES and frame):
            raise DataError(f"{name} is JPEG of a kind that is not read (marker {marker:#x}); convert it to PNG")
        if marker in _FRAMES:
            bits, height, width = content[place + 4], *_pair(content[place + 5 : place + 9])
            frame = (width, height, content[place + 9], bits) if end >= place + 10 else None
        if marker == _SCAN:
            body, scans = body or place, scans + 1
            following = _AFTER_A_SCAN.search(content, end)
            if following is None:
                raise DataError(f"{name} is cut short: its picture has no end")
            place = following.start()
        else:
            if not body and not 0xE0 <= marker <= 0xEF and marker != 0xFE:  # neither application data nor a comment
                kept.append((place, end))
            place = end
    raise DataError(f"{name} has more than {MOST_SEGMENTS:,} segments; no camera or program writes such a file")


def interchangeable(tables: bytes, content: bytes, structure: JpegStructure, ycc: bool) -> bytes:
    """Make a stream of TIFF whole: its tables, and a mark that says in which colours the samples are.

    Parameters
    ----------
    tables : bytes
        Segments with tables, without start and end.
    content : bytes
        The stream.
    structure : JpegStructure
        What was found in the stream.
    ycc : bool
        Whether three components are luminance and chrominance; else they are red, green and blue.
    """
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([1 if ycc else 0])
    mark = adobe if structure.components == 3 else b""
    own = b"".join(content[start:end] for start, end in structure.kept)
    return b"\xff\xd8" + mark + tables + own + content[structure.body :]


def _marker(content: bytes, place: int, name: str) -> int:
    if place + 2 > len(content):
        raise DataError(f"{name} is cut short: its picture has no end")
    if content[place] != 0xFF:
        raise DataError(f"{name} is damaged at byte {place}: no marker stands there")
    return content[place + 1]


def _pair(four: bytes) -> tuple[int, int]:
    return int.from_bytes(four[:2], "big"), int.from_bytes(four[2:], "big")


def _checked(
    frame: tuple[int, int, int, int] | None, scans: int, kept: tuple[tuple[int, int], ...], body: int, name: str
) -> JpegStructure:
    if frame is None or not scans or 0 in frame:
        raise DataError(f"{name} holds no picture")
    width, height, components, bits = frame
    if bits != 8 or components not in (1, 3, 4):
        raise DataError(f"{name} has {components} components of {bits} bits; 1 or 3 of 8 bits are read")
    if scans > MOST_SCANS or scans * width * height > max(MOST_WORK, 3 * width * height):
        raise DataError(
            f"{name} has {scans} scans of {width} × {height} pixels, more work than a picture needs; save it anew"
        )
    return JpegStructure(width, height, components, bits, scans, kept, body)
