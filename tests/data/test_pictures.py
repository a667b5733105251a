import struct
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import Image, ImageChops

from theodolite.data import pictures
from theodolite.data.large_images import open_image
from theodolite.kernel.errors import DataError, ResourceError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8)


def _whole(path, **how):
    with open_image(path, **how) as image:
        image.check()
        return image.window(0, 0, image.height, image.width)


def _chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(height, width, bits, colour, rows, *others):
    """Write a PNG by hand, rows not filtered."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    data = _chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), 9))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(others) + data + _chunk(b"IEND", b"")


def _refused(kind, action, *words):
    with pytest.raises(kind) as error:
        action()
    message = str(error.value)
    assert message.isprintable()
    assert all(word in message for word in words), message


@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"quality": 30, "subsampling": 2}])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_read_as_pillow_reads_it(tmp_path, how, channels):
    Image.fromarray(PIXELS if channels == 3 else PIXELS[..., 0]).save(tmp_path / "a.jpg", **how)
    with Image.open(tmp_path / "a.jpg") as image:
        np.testing.assert_array_equal(_whole(tmp_path / "a.jpg"), np.asarray(image).reshape(37, 53, channels))


def test_sixteen_bits_are_kept(tmp_path):
    grey = RNG.integers(0, 2**16, (20, 30), dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    found = _whole(tmp_path / "a.png")
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[..., 0], grey)


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_colour_is_kept_with_the_extra(tmp_path, colour, channels):
    pytest.importorskip("pyvips")
    pixels = RNG.integers(0, 2**16, (20, 30, channels), dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(_png(20, 30, 16, colour, [row.astype(">u2").tobytes() for row in pixels]))
    np.testing.assert_array_equal(_whole(tmp_path / "a.png"), pixels)
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "a.png").write_bytes(content)
    _refused(DataError, lambda: _whole(tmp_path / "a.png"), "a.png is damaged")


def test_without_the_extra_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvips", None)
    (tmp_path / "a.png").write_bytes(_png(1, 1, 16, 2, [bytes(6)]))
    _refused(ResourceError, lambda: open_image(tmp_path / "a.png"), "a.png", "pip install", "hires")


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_stretched_or_labels(tmp_path, bits):
    values = RNG.integers(0, 1 << bits, (9, 16), dtype=np.uint8)
    packed = [np.packbits(np.unpackbits(row[:, None], axis=1)[:, -bits:].ravel()).tobytes() for row in values]
    (tmp_path / "a.png").write_bytes(_png(9, 16, bits, 0, packed))
    np.testing.assert_array_equal(_whole(tmp_path / "a.png", labels=True)[..., 0], values)
    np.testing.assert_array_equal(_whole(tmp_path / "a.png")[..., 0], values * (255 // ((1 << bits) - 1)))


def test_palettes_are_colours_with_their_transparency_or_labels(tmp_path):
    image = Image.fromarray(PIXELS).quantize(9)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(_whole(tmp_path / "a.png"), np.asarray(image.convert("RGB")))
    np.testing.assert_array_equal(_whole(tmp_path / "a.png", labels=True)[..., 0], np.asarray(image))
    image.save(tmp_path / "b.png", transparency=3)
    found = _whole(tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as opened:
        np.testing.assert_array_equal(found, np.asarray(opened.convert("RGBA")))
    assert found[..., 3].min() == 0


def test_interlaced_png_is_read(tmp_path):
    """Seven passes by hand, for no writer at hand makes them: Pillow reads, we compare with the array."""
    grey = PIXELS[:8, :8, 0]
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(b"\0" + row.tobytes() for top, left, down, right in passes for row in grey[top::down, left::right])
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1))
    content = header + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    np.testing.assert_array_equal(_whole(tmp_path / "a.png")[..., 0], grey)


def test_inks_are_refused(tmp_path):
    Image.fromarray(PIXELS).convert("CMYK").save(tmp_path / "a.jpg")
    _refused(DataError, lambda: open_image(tmp_path / "a.jpg"), "four inks", "vips colourspace")


def test_a_bomb_is_refused_at_once(tmp_path):
    rows = zlib.compress(bytes(10**6), 9)
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")
    assert len(bomb) < 1100
    (tmp_path / "a.png").write_bytes(bomb)
    start = time.process_time()
    _refused(DataError, lambda: open_image(tmp_path / "a.png"), "60000 × 60000", "tiled TIFF")
    assert time.process_time() - start < 1


def test_many_small_notes_have_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_CHUNKS", 50)
    (tmp_path / "a.png").write_bytes(_png(1, 1, 8, 0, [b"\0"], *[_chunk(b"teXt", b"")] * 50))
    _refused(DataError, lambda: open_image(tmp_path / "a.png"), "50 chunks")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_png(1, 1, 3, 0, [b"\0"]), "3 bits"),
        (_png(1, 1, 8, 5, [b"\0"]), "colour type 5"),
        (_png(0, 1, 8, 0, []), "claims 1 × 0"),
        (_png(2**31, 1, 8, 0, []), "claims"),
        (b"\x89PNG\r\n\x1a\n" + _chunk(b"IDAT", b"") + _chunk(b"IEND", b""), "no header"),
        (_png(1, 1, 8, 0, [b"\0"], _chunk(b"IHDR", bytes(13))), "two headers"),
        (b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", bytes(13)) + _chunk(b"IEND", b""), "no pixels"),
        (b"GIF89a", "no PNG"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path, content, words):
    (tmp_path / "a.png").write_bytes(content)
    _refused(DataError, lambda: open_image(tmp_path / "a.png"), "a.png", words)


@pytest.mark.parametrize("notes", [b"", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff" + bytes(20), bytes(99)])
def test_broken_notes_turn_nothing(tmp_path, notes):
    (tmp_path / "a.png").write_bytes(_png(2, 3, 8, 0, [b"\1\2\3", b"\4\5\6"], _chunk(b"eXIf", notes)))
    np.testing.assert_array_equal(_whole(tmp_path / "a.png")[..., 0], [[1, 2, 3], [4, 5, 6]])
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + notes)
    assert _whole(tmp_path / "a.jpg").shape == PIXELS.shape


def test_a_damaged_file_is_named_when_it_is_checked(tmp_path):
    image = Image.fromarray(np.tile(PIXELS, (3, 3, 1)))
    for name in ("a.png", "a.jpg"):
        image.save(tmp_path / name)
        content = bytearray((tmp_path / name).read_bytes())
        middle = len(content) // 2
        content[middle : middle + 400] = b"\xff\xd0" * 200 if name == "a.jpg" else bytes(400)
        (tmp_path / name).write_bytes(content)
        if name == "a.png":
            _refused(DataError, lambda: _whole(tmp_path / "a.png"), "a.png is damaged")
        else:  # a coding without checksums: read, and changed
            assert ImageChops.difference(image, Image.fromarray(_whole(tmp_path / name))).getbbox()
