"""Tiles and strips against two other readers, and damaged ones."""

import resource
import struct
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from theodolite.data.large_images import open_image
from theodolite.kernel.errors import DataError, ResourceError, TheodoliteError

tifffile = pytest.importorskip("tifffile")
RNG = np.random.default_rng(0)
SMOOTH = (np.add.outer(np.arange(150), np.arange(133))[..., None] + RNG.integers(0, 9, (150, 133, 3))).astype(np.uint8)


@pytest.fixture(scope="module")
def pyvips():
    return pytest.importorskip("pyvips")


def _whole(path, **how):
    with open_image(path, **how) as image:
        image.check()
        return image.window(0, 0, image.height, image.width)


def _by_vips(pyvips, path):
    image = pyvips.Image.tiffload(str(path))
    kind = {"uchar": np.uint8, "ushort": np.uint16}[image.format]
    return np.frombuffer(image.write_to_memory(), kind).reshape(image.height, image.width, image.bands)


@pytest.mark.parametrize("compression", ["none", "deflate", "lzw", "packbits", "jpeg"])
@pytest.mark.parametrize("tile", [True, False])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_every_coding_is_read_as_libvips_reads_it(tmp_path, pyvips, compression, tile, channels, bits):
    if compression == "jpeg" and (bits == 16 or channels in (2, 4)):
        pytest.skip("not in JPEG")
    pixels = np.concatenate([SMOOTH, SMOOTH[..., :1]], axis=2)[..., :channels]
    pixels = np.ascontiguousarray(pixels) if bits == 8 else pixels.astype(np.uint16) * 257 + 3
    image = pyvips.Image.new_from_array(pixels, interpretation={8: "srgb", 16: "rgb16"}[bits] if channels > 2 else None)
    predictor = "horizontal" if compression in ("deflate", "lzw") else "none"
    path = tmp_path / "a.tif"
    image.tiffsave(
        str(path), tile=tile, tile_width=64, tile_height=32, compression=compression, predictor=predictor, Q=90
    )
    expected = _by_vips(pyvips, path)
    found = _whole(path)
    assert found.dtype == expected.dtype == f"u{bits // 8}"
    np.testing.assert_array_equal(found, expected)
    if compression != "jpeg":
        np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_orders_of_bytes_predictors_and_planes_are_those_of_tifffile(tmp_path, order, predictor, dtype, planar):
    pixels = SMOOTH.astype(dtype) * np.iinfo(dtype).max.__floordiv__(255)
    stored = pixels if planar == "contig" else np.moveaxis(pixels, 2, 0)
    for tile in (None, (48, 16)):
        tifffile.imwrite(
            tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, byteorder=order, predictor=predictor,
            compression="zlib", tile=tile, rowsperstrip=11,
        )  # fmt: skip
        np.testing.assert_array_equal(_whole(tmp_path / "a.tif"), pixels)


def test_a_single_strip_and_the_files_of_pillow_are_read(tmp_path, pyvips):
    for compression in ("raw", "tiff_adobe_deflate", "tiff_lzw", "packbits"):
        Image.fromarray(SMOOTH).save(tmp_path / "a.tif", compression=compression)
        np.testing.assert_array_equal(_whole(tmp_path / "a.tif"), SMOOTH)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits"])
def test_without_the_extra_one_line_says_what_to_install(tmp_path, monkeypatch, compression):
    monkeypatch.setitem(sys.modules, "pyvips", None)
    Image.fromarray(SMOOTH).save(tmp_path / "a.tif", compression=compression)
    with pytest.raises(ResourceError, match=r"a\.tif: .* in TIFF needs pyvips: pip install 'theodolite\[hires\]'"):
        open_image(tmp_path / "a.tif")


def test_white_may_be_zero_and_labels_are_as_stored(tmp_path):
    grey = np.ascontiguousarray(SMOOTH[..., 0])
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="miniswhite", tile=(16, 16))
    np.testing.assert_array_equal(_whole(tmp_path / "a.tif")[..., 0], 255 - grey)
    np.testing.assert_array_equal(_whole(tmp_path / "a.tif", labels=True)[..., 0], grey)


def test_palettes_are_colours_or_labels(tmp_path):
    indices = RNG.integers(0, 5, (40, 50), dtype=np.uint8)
    image = Image.fromarray(indices).convert("P")
    image.putpalette(bytes(range(256)) * 3)
    image.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(_whole(tmp_path / "a.tif", labels=True)[..., 0], np.asarray(image))
    np.testing.assert_array_equal(_whole(tmp_path / "a.tif"), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_jpeg_tiles_are_in_the_colours_that_the_directory_says(tmp_path, photometric):
    """The same stream means other colours under another tag; a mark for these inside of the stream does not decide."""
    jpeg = tmp_path / "a.jpg"
    Image.fromarray(SMOOTH[:64, :64]).save(jpeg, quality=95)
    content = jpeg.read_bytes()
    tags = {
        256: 64, 257: 64, 258: 8, 259: 7, 262: 2 if photometric == "rgb" else 6, 277: 3, 322: 64, 323: 64, 324: 256,
        325: len(content),
    }  # fmt: skip
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    file = b"II*\0" + struct.pack("<IH", 8, len(tags)) + rows + bytes(4)
    (tmp_path / "a.tif").write_bytes(file.ljust(256, b"\0") + content)
    with Image.open(jpeg) as opened:
        opened.draft("YCbCr", None)
        raw = np.asarray(opened) if photometric == "rgb" else np.asarray(Image.open(jpeg))
    np.testing.assert_array_equal(_whole(tmp_path / "a.tif"), raw)


def _damaged(path, compression, tile, hurt, pyvips):
    """Write a file of 3 × 3 tiles, and change the bytes of one of them in place."""
    image = pyvips.Image.new_from_array(np.ascontiguousarray(SMOOTH))
    image.tiffsave(str(path), tile=True, tile_width=64, tile_height=64, compression=compression)
    with tifffile.TiffFile(path) as file:
        place, size = file.pages[0].dataoffsets[tile], file.pages[0].databytecounts[tile]
    content = bytearray(path.read_bytes())
    content[place : place + size] = hurt(bytes(content[place : place + size]))
    path.write_bytes(content)


@pytest.mark.parametrize("compression", ["deflate", "lzw", "jpeg"])
@pytest.mark.parametrize("what", ["zeros at the end", "all zeros", "noise"])
def test_a_damaged_tile_is_named_and_the_others_are_read(tmp_path, pyvips, capfd, compression, what):
    def hurt(content):
        if what == "all zeros":
            return bytes(len(content))
        kept = len(content) // 2
        return content[:kept] + (bytes(len(content) - kept) if what[0] == "z" else RNG.bytes(len(content) - kept))

    path = tmp_path / "a.tif"
    _damaged(path, compression, 5, hurt, pyvips)
    with open_image(path) as image:
        image.window(0, 0, 64, 133)
        with pytest.raises(DataError, match=r"a\.tif: tile \(row 1, column 2\)"):
            image.window(64, 128, 10, 5)
        with pytest.raises(DataError, match=r"a\.tif: tile \(row 1, column 2\)"):
            image.check()
    assert capfd.readouterr().err == ""  # decoders would like to say more


def test_one_bit_anywhere_in_deflate_is_found(tmp_path, pyvips):
    """Its checksum tells; libvips gives wrong pixels without a word."""
    for seed in range(20):
        rng = np.random.default_rng(seed)

        def hurt(content, rng=rng):
            changed = bytearray(content)
            changed[rng.integers(2, len(content))] ^= 1 << rng.integers(8)
            return bytes(changed)

        _damaged(tmp_path / "a.tif", "deflate", 4, hurt, pyvips)
        with open_image(tmp_path / "a.tif") as image, pytest.raises(DataError, match="row 1, column 1"):
            image.check()


@pytest.mark.parametrize("size", [10**7, 4095])
def test_a_tile_that_inflates_to_another_size_stops_at_its_own(tmp_path, size):
    content = zlib.compress(bytes(size))
    tags = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: 64, 323: 64, 324: 256, 325: len(content)}
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    file = (b"II*\0" + struct.pack("<IH", 8, len(tags)) + rows + bytes(4)).ljust(256, b"\0")
    (tmp_path / "a.tif").write_bytes(file + content)
    with open_image(tmp_path / "a.tif") as image, pytest.raises(DataError, match=r"row 0, column 0.*damaged"):
        image.window(0, 0, 1, 1)


def test_decoded_tiles_are_kept_within_their_budget(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", SMOOTH, photometric="rgb", tile=(16, 16), compression="zlib")
    for budget, decodings in [(16 * 16 * 3 * 9, 9), (0, 18)]:
        with open_image(tmp_path / "a.tif", cache_bytes=budget) as image:
            source, calls = image._pixels, []
            monkeypatch.setattr(source, "_decoded", _counted(source._decoded, calls))
            for _ in range(2):
                np.testing.assert_array_equal(image.window(0, 0, 10, 133), SMOOTH[:10])
            assert len(calls) == decodings
            assert source._kept_bytes <= max(budget, 16 * 16 * 3)


def _counted(function, calls):
    def counted(*given):
        calls.append(given)
        return function(*given)

    return counted


@pytest.mark.parametrize("compression", ["none", "deflate", "lzw", "packbits", "jpeg"])
@pytest.mark.parametrize("tile", [True, False])
def test_mutations_are_read_or_refused_in_one_line_and_nothing_else_is_said(tmp_path, pyvips, capfd, compression, tile):
    path = tmp_path / "a.tif"
    image = pyvips.Image.new_from_array(np.ascontiguousarray(SMOOTH))
    image.tiffsave(str(path), tile=tile, tile_width=64, tile_height=64, compression=compression, pyramid=tile)
    sound = path.read_bytes()
    rng = np.random.default_rng(3)
    messages = []
    for number in range(30):
        hurt = bytearray(sound)
        for _ in range(rng.integers(1, 4)):  # most places are pixels, the directories stand at the end
            place = int(rng.integers(len(hurt))) if number % 2 else len(hurt) - 1 - int(rng.integers(400))
            hurt[place] = int(rng.choice([0, 1, 255, rng.integers(256)]))
        path.write_bytes(hurt)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()
        try:
            _whole_in_windows(path)
        except TheodoliteError as error:
            messages.append(str(error))
        assert time.process_time() - start < 10
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**19  # KiB: 512 MiB
    assert messages
    assert all(message.isprintable() for message in messages)
    assert capfd.readouterr().err == ""


def _whole_in_windows(path):
    """Check the file, and read a band of windows across it, whatever size it claims."""
    with open_image(path) as image:
        image.check(1.0)
        for left in range(0, min(image.width, 1000), 100):
            image.window(0, left, min(image.height, 100), min(image.width - left, 100))
