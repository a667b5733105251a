"""Directories of TIFF files, sound ones from other writers and hostile ones from our own hands."""

import os
import struct
from contextlib import contextmanager

import numpy as np
import pytest

from theodolite.data import tiff
from theodolite.data.large_images import open_image
from theodolite.data.tiff import Tiff
from theodolite.kernel.errors import DataError

tifffile = pytest.importorskip("tifffile")
PIXELS = np.random.default_rng(0).integers(0, 256, (100, 90, 3), dtype=np.uint8)
SHORT, LONG = 3, 4
TAGS = {  # of a sound file: one tile of 16 × 16 grey pixels
    256: (SHORT, [16]), 257: (SHORT, [16]), 258: (SHORT, [8]), 259: (SHORT, [1]), 262: (SHORT, [1]), 277: (SHORT, [1]),
    322: (SHORT, [16]), 323: (SHORT, [16]), 324: (LONG, [1024]), 325: (LONG, [256]),
}  # fmt: skip


def _file(changes=(), following=0, count=None, doubled=()):
    """Write a file of one directory by hand: header, directory at 8, values from 512, pixels from 1024."""
    tags = {tag: value for tag, value in (TAGS | dict(changes)).items() if value is not None}
    rows, values = b"", b""
    for tag, (kind, numbers) in sorted([*tags.items(), *((tag, tags[tag]) for tag in doubled)]):
        packed = struct.pack(f"<{len(numbers)}{'H' if kind == SHORT else 'I'}", *numbers)
        if len(packed) > 4:
            packed, values = struct.pack("<I", 512 + len(values)), values + packed
        rows += struct.pack("<HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    number = len(rows) // 12 if count is None else count
    content = b"II*\0" + struct.pack("<IH", 8, number) + rows + struct.pack("<I", following)
    return (content.ljust(512, b"\0") + values).ljust(1024, b"\0") + bytes(range(256))


@contextmanager
def _tiff(path, content=None):
    if content is not None:
        path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield Tiff(descriptor, path.stat().st_size, path.name)
    finally:
        os.close(descriptor)


def _refused(tmp_path, content, *words):
    with pytest.raises(DataError) as error, _tiff(tmp_path / "hurt.tif", content) as file:
        file.levels()
    message = str(error.value)
    assert message.isprintable()
    assert message.startswith("hurt.tif")
    assert all(word in message for word in words), message


def test_the_file_of_our_own_hands_is_sound(tmp_path):
    (tmp_path / "a.tif").write_bytes(_file())
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif").ravel(), np.arange(256))
    with open_image(tmp_path / "a.tif") as image:
        np.testing.assert_array_equal(image.window(0, 0, 16, 16).ravel(), np.arange(256))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tile", [None, (16, 48)])
def test_places_are_those_that_tifffile_finds(tmp_path, big, order, tile):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", bigtiff=big, byteorder=order, tile=tile, rowsperstrip=7)
    with tifffile.TiffFile(path) as reference, _tiff(path) as file:
        (layout,) = file.levels()
        page = reference.pages[0]
        assert layout.chunks.offsets.ravel().tolist() == list(page.dataoffsets)
        assert layout.chunks.counts.ravel().tolist() == list(page.databytecounts)
        assert (layout.height, layout.width, layout.samples, layout.bits) == (100, 90, 3, 8)
        assert (layout.chunk_height, layout.chunk_width) == (tile or (7, 90))
        assert layout.tiled == (tile is not None)


def test_separate_planes_have_tables_of_their_own(tmp_path):
    planes = np.moveaxis(PIXELS, 2, 0)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate", tile=(16, 16))
    with _tiff(tmp_path / "a.tif") as file:
        (layout,) = file.levels()
        assert layout.separate
        assert layout.chunks.offsets.shape == (3, 7, 6)


def test_reductions_are_found_among_pages_and_below_the_first(tmp_path):
    reduced = [PIXELS, PIXELS[::2, ::2], PIXELS[::4, ::4]]
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        for number, pixels in enumerate(reduced):
            file.write(pixels, photometric="rgb", tile=(16, 16), subfiletype=int(number > 0))
        file.write(PIXELS[:30], photometric="rgb", tile=(16, 16))  # a label: of another shape
        file.write(PIXELS[:50, :45], photometric="rgb")  # a thumbnail: in strips
        file.write(PIXELS[:13, :12].astype(np.float32), photometric="rgb", tile=(16, 16))  # what is not read at all
    with tifffile.TiffWriter(tmp_path / "below.tif") as file:
        file.write(PIXELS, photometric="rgb", tile=(16, 16), subifds=2)
        for pixels in reduced[1:]:
            file.write(pixels, photometric="rgb", tile=(16, 16), subfiletype=1)
    for name in ("pages.tif", "below.tif"):
        for level, pixels in enumerate(reduced):
            with open_image(tmp_path / name, level=level) as image:
                assert image.levels == ((100, 90), (50, 45), (25, 23))
                np.testing.assert_array_equal(image.window(0, 0, *pixels.shape[:2]), pixels)


def test_more_images_of_one_size_are_told(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 32, 32), np.uint8), photometric="minisblack", tile=(16, 16))
    with open_image(tmp_path / "a.tif") as image:
        (note,) = image.notes
    assert "4 more images" in note


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({256: (LONG, [60_000]), 257: (LONG, [60_000])}, "14,062,500"),
        ({256: (LONG, [2**32 - 1]), 257: (LONG, [2**32 - 1])}, "claims"),
        ({256: (SHORT, [0])}, "0 × 16"),
        ({257: None}, "16 × 0"),
        ({322: (LONG, [2**31]), 323: (LONG, [2**31])}, "MiB each"),
        ({322: (SHORT, [0])}, "at most"),
        (
            {322: None, 323: None, 324: None, 325: None, 257: (LONG, [2**23]), 273: (LONG, [8]), 279: (LONG, [8])},
            "vips",
        ),
        ({324: (LONG, [1024, 1024])}, "2 values"),
        ({325: None}, "the sizes of 0"),
        ({324: (LONG, [1025])}, "tile (row 0, column 0) lies beyond"),
        ({325: (LONG, [2**32 - 1])}, "lies beyond"),
        ({325: (LONG, [0])}, "is missing"),
        ({258: (SHORT, [32])}, "32 bits"),
        ({258: (SHORT, [1])}, "1 bits"),
        ({277: (SHORT, [3]), 258: (SHORT, [8, 8, 16]), 262: (SHORT, [2])}, "different kinds"),
        ({277: (SHORT, [5])}, "5 samples"),
        ({277: (SHORT, [4]), 262: (SHORT, [5])}, "inks"),
        ({262: (SHORT, [3])}, "palette of 0"),
        ({262: (SHORT, [6]), 277: (SHORT, [3])}, "kind 6"),
        ({259: (SHORT, [34712])}, "34712"),
        ({259: (SHORT, [7]), 258: (SHORT, [16])}, "JPEG"),
        ({339: (SHORT, [3])}, "signed"),
        ({317: (SHORT, [3])}, "stores its samples"),
        ({266: (SHORT, [2])}, "stores its samples"),
        ({256: (SHORT, [16, 16])}, "tag 256 has 2 values"),
        ({256: (2, [16])}, "of type 2"),
        ({258: (SHORT, [8] * 70_000)}, "70,000 values"),
        ({330: (LONG, [8])}, "loop"),
        ({330: (LONG, [10**9])}, "cut short"),
    ],
)
def test_directories_that_lie_are_refused(tmp_path, changes, words):
    _refused(tmp_path, _file(changes), words)


def test_tiles_larger_than_they_can_be_are_refused(tmp_path):
    _refused(tmp_path, _file({325: (LONG, [70_000])}) + bytes(10**5), "claims more bytes")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cut short"),
        (b"II*\0", "cut short"),
        (b"GIF89a" * 9, "no TIFF"),
        (b"II\x2c\0" + bytes(20), "version 44"),
        (b"II*\0" + bytes(20), "no image"),
        (_file(following=8), "loop"),
        (_file(following=10**6), "cut short"),
        (_file(count=0), "0 entries"),
        (_file(count=60_000), "60,000 entries"),
        (_file(doubled=[256]), "stands twice"),
        (b"II\x2b\0\x08\0\0\0" + struct.pack("<Q", 2**63), "cut short"),
    ],
)
def test_files_that_end_or_loop_are_refused(tmp_path, content, words):
    _refused(tmp_path, content, words)


def test_long_chains_and_large_tables_have_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff, "MOST_CHUNKS", 3)
    four = {256: (SHORT, [64]), 324: (LONG, [1024] * 4), 325: (LONG, [256] * 4)}
    _refused(tmp_path, _file(four), "4 tiles or strips")
    monkeypatch.setattr(tiff, "MOST_DIRECTORIES", 2)
    tifffile.imwrite(tmp_path / "hurt.tif", np.zeros((3, 16, 16), np.uint8), photometric="minisblack")
    _refused(tmp_path, None, "more than 2")
