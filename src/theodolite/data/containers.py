"""How many bytes a video file says that it has, by its own account: what was cut off shows here before all else.

MP4 and MOV are boxes, Matroska and WebM elements, AVI chunks, each with its size in front; transport streams are
packets of one size, whose number nothing tells.
"""

from pathlib import Path
from typing import BinaryIO

MOST_BOXES = 10_000
BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"sidx", b"uuid", b"mfra"}
SEGMENT = 0x18538067
PACKETS = {188: 0, 192: 4, 204: 0}
"""Sizes of transport packets, and where in one the byte 0x47 stands that begins each."""


def claimed_bytes(path: Path) -> int | None:
    """Return how many bytes a file should have; None where it does not say, or cannot be read.

    Of a transport stream that ends within a packet, the whole of that packet is counted.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(16)
            if start[4:8] in BOXES:
                return _of_boxes(file, size)
            if start[:4] == b"\x1a\x45\xdf\xa3":
                return _of_elements(file)
            if start[:4] == b"RIFF":
                return _of_chunks(file, size)
            return _of_packets(file, size)
    except OSError:
        return None


def shortfall(path: Path) -> str:
    """Say what a file that ends too early lacks, in words that go on a sentence; empty where nothing shows it."""
    claimed = claimed_bytes(path)
    have = path.stat().st_size if claimed is not None else 0
    return f"by its own account it has {claimed:,} bytes, and {have:,} are there" if (claimed or 0) > have else ""


def _of_boxes(file: BinaryIO, size: int) -> int | None:
    place = 0
    for _ in range(MOST_BOXES):
        file.seek(place)
        head = file.read(16)
        if len(head) < 8:
            return place + 8 if head else place
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:  # to the end of the file, wherever that is
            return size
        if length < 8 or (head[4:8] not in BOXES and not head[4:8].isalnum()):
            return None
        place += length
        if place >= size:
            return place
    return None


def _of_elements(file: BinaryIO) -> int | None:
    file.seek(4)
    header = _length(file)
    if header is None:
        return None
    file.seek(header, 1)
    if int.from_bytes(file.read(4), "big") != SEGMENT:
        return None
    length = _length(file)
    return None if length is None else file.tell() + length


def _length(file: BinaryIO) -> int | None:
    """Read an element's length: as many bytes as its first bit set says; None where it is left open."""
    first = file.read(1)
    if not first or first == b"\0":
        return None
    width = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(width - 1), "big") & ((1 << 7 * width) - 1)
    return None if value == (1 << 7 * width) - 1 else value


def _of_chunks(file: BinaryIO, size: int) -> int | None:
    place = 0
    for _ in range(MOST_BOXES):
        file.seek(place)
        head = file.read(8)
        if head[:4] != b"RIFF" or len(head) < 8:
            return place
        length = int.from_bytes(head[4:], "little")
        place += 8 + length + length % 2
        if not length or place >= size:  # a writer that was stopped leaves the length 0
            return place if length else None
    return None


def _of_packets(file: BinaryIO, size: int) -> int | None:
    for length, mark in PACKETS.items():
        file.seek(0)
        start = file.read(4 * length)
        marks = start[mark::length]
        if len(marks) >= min(4, size // length) > 0 and set(marks) == {0x47}:
            return -(-size // length) * length
    return None
