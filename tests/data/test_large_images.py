import multiprocessing
import os
import pickle
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from theodolite.data import large_images
from theodolite.data.large_images import open_image
from theodolite.kernel.errors import DataError, ResourceError, TheodoliteError, UsageError

tifffile = pytest.importorskip("tifffile")
RNG = np.random.default_rng(0)
SIZES = [(1, 1), (1, 70), (70, 1), (33, 47), (256, 129)]


def _pixels(height, width, channels=3, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype=dtype)


def _saved(path, pixels, tile=(16, 32)):
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".tif":
        kinds = {1: {}, 2: {"extrasamples": [2]}, 3: {}, 4: {"extrasamples": [2]}}[pixels.shape[2]]
        tifffile.imwrite(
            path,
            pixels.squeeze(2) if pixels.shape[2] == 1 else pixels,
            tile=tile,
            compression="zlib",
            photometric="rgb" if pixels.shape[2] > 2 else "minisblack",
            planarconfig="contig",
            **kinds,
        )
    else:
        Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(path)
    return path


def _whole(path, **how):
    with open_image(path, **how) as image:
        return image.window(0, 0, image.height, image.width)


def _refused(kind, action, *words):
    with pytest.raises(kind) as error:
        action()
    message = str(error.value)
    assert message.isprintable()
    assert all(word in message for word in words), message


@pytest.mark.parametrize("suffix", ["png", "tif", "npy"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_size_and_number_of_channels_comes_back(tmp_path, suffix, size, channels):
    pixels = _pixels(*size, channels)
    path = _saved(tmp_path / f"a.{suffix}", pixels)
    with open_image(path) as image:
        assert (image.height, image.width, image.channels, image.bits) == (*size, channels, 8)
        assert image.levels == (size,)
        np.testing.assert_array_equal(image.window(0, 0, *size), pixels)


@pytest.mark.parametrize("suffix", ["tif", "npy"])
def test_a_large_odd_size_is_read_by_windows(tmp_path, suffix):
    pixels = np.tile(_pixels(500, 61, 1), (10, 50, 1))[:, :3001]
    with open_image(_saved(tmp_path / f"a.{suffix}", pixels, (256, 256))) as image:
        for top, left, height, width in [
            (0, 0, 128, 128),
            (4872, 2873, 128, 128),
            (17, 1000, 200, 3),
            (4999, 0, 1, 3001),
        ]:
            window = image.window(top, left, height, width)
            assert window.flags.c_contiguous
            np.testing.assert_array_equal(window, pixels[top : top + height, left : left + width])


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_window_of_any_file_is_the_array_s(data, tmp_path_factory):
    height, width = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))
    pixels = _pixels(height, width, data.draw(st.integers(1, 4)))
    suffix = data.draw(st.sampled_from(["png", "tif", "npy"]))
    path = _saved(tmp_path_factory.mktemp("any") / f"a.{suffix}", pixels)
    with open_image(path, cache_bytes=data.draw(st.sampled_from([0, 3000, 10**6]))) as image:
        for _ in range(3):
            top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
            sides = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
            expected = pixels[top : top + sides[0], left : left + sides[1]]
            np.testing.assert_array_equal(image.window(top, left, *sides), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_images_stand_upright_as_pillow_turns_them(tmp_path, suffix, orientation):
    path = tmp_path / f"a.{suffix}"
    tag = Image.Exif()
    tag[0x0112] = orientation
    if suffix == "tif":
        tifffile.imwrite(
            path, _pixels(20, 30), tile=(16, 16), photometric="rgb", extratags=[(274, 3, 1, orientation, True)]
        )
        stored = tifffile.imread(path)
        upright = np.asarray(ImageOps.exif_transpose(_tagged(stored, tag)))
    else:
        Image.fromarray(_pixels(20, 30)).save(path, exif=tag, quality=95)
        with Image.open(path) as opened:
            upright = np.asarray(ImageOps.exif_transpose(opened))
    with open_image(path) as image:
        assert (image.height, image.width) == upright.shape[:2] == image.levels[0]
        np.testing.assert_array_equal(image.window(0, 0, image.height, image.width), upright)
        np.testing.assert_array_equal(image.window(3, 5, 7, 9), upright[3:10, 5:14])


def _tagged(pixels, tag):
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = tag[0x0112]
    return image


def test_channels_are_added_and_dropped_as_asked(tmp_path):
    pixels = _pixels(4, 5, 4)
    grey, faint, colour, full = (_saved(tmp_path / f"{n}.npy", pixels[..., :n]) for n in (1, 2, 3, 4))
    opaque = np.full((4, 5, 1), 255)
    np.testing.assert_array_equal(_whole(grey, channels=3), np.repeat(pixels[..., :1], 3, axis=2))
    np.testing.assert_array_equal(_whole(grey, channels=2), np.dstack([pixels[..., :1], opaque]))
    np.testing.assert_array_equal(_whole(faint, channels=1), pixels[..., :1])
    np.testing.assert_array_equal(_whole(faint, channels=4), pixels[..., [0, 0, 0, 1]])
    np.testing.assert_array_equal(_whole(colour, channels=4), np.dstack([pixels[..., :3], opaque]))
    np.testing.assert_array_equal(_whole(full, channels=3), pixels[..., :3])
    for path, channels in [(colour, 1), (colour, 2), (full, 1), (full, 2)]:
        _refused(
            UsageError, lambda path=path, channels=channels: open_image(path, channels=channels), "colour", path.name
        )
    _refused(UsageError, lambda: open_image(grey, channels=5), "channels=5")


def test_a_window_must_lie_within_the_image(tmp_path):
    with open_image(_saved(tmp_path / "a.npy", _pixels(8, 9))) as image:
        for window in [(-1, 0, 2, 2), (0, 0, 9, 1), (0, 8, 1, 2), (7, 7, 0, 1), (10**30, 0, 1, 1)]:
            _refused(UsageError, lambda window=window: image.window(*window), "8 × 9", "a.npy")


def test_budgets_hold_before_anything_is_decoded(tmp_path, monkeypatch):
    path = _saved(tmp_path / "a.png", _pixels(60, 70))
    _refused(DataError, lambda: open_image(path, largest_bytes=16_000), "a.png", "MiB", "vips")
    _refused(DataError, lambda: open_image(path, largest_bytes=100), "a.png", "MiB", "vips")
    monkeypatch.setattr(large_images, "MOST_PIXELS", 4199)
    _refused(DataError, lambda: open_image(path), "70 × 60", "4,199")
    tiled = _saved(tmp_path / "a.tif", _pixels(60, 70))
    with open_image(tiled, largest_bytes=300) as image:
        assert image.window(0, 0, 10, 10).shape == (10, 10, 3)
        _refused(ResourceError, lambda: image.window(0, 0, 10, 11), "smaller")


@pytest.mark.parametrize("suffix", ["png", "tif", "npy"])
def test_an_image_goes_to_other_processes_by_its_path(tmp_path, suffix):
    pixels = _pixels(64, 64)
    path = _saved(tmp_path / f"a.{suffix}", pixels)
    with open_image(path, channels=4) as image, pickle.loads(pickle.dumps(image)) as again:
        np.testing.assert_array_equal(again.window(5, 5, 20, 30), image.window(5, 5, 20, 30))
    with open_image(path) as image:
        image.window(0, 0, 1, 1)
        process = multiprocessing.get_context("fork").Process(target=_compare, args=(image, pixels))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer Pythons warn of any fork where there are threads
            process.start()
        process.join()
        assert process.exitcode == 0


def _compare(image, pixels):
    np.testing.assert_array_equal(image.window(0, 0, 64, 64), pixels)


@pytest.mark.parametrize("suffix", ["png", "tif", "npy"])
def test_a_file_that_was_changed_meanwhile_is_refused(tmp_path, suffix):
    path = _saved(tmp_path / f"a.{suffix}", _pixels(64, 64))
    with open_image(path) as image:
        stored = pickle.dumps(image)
        os.truncate(path, path.stat().st_size // 2)
        _refused(DataError, lambda: image.window(0, 0, 64, 64), "changed")
        _refused(DataError, image.check, "changed")
    _refused(DataError, lambda: pickle.loads(stored), "changed")


@pytest.mark.parametrize("suffix", ["png", "tif", "npy"])
def test_threads_read_at_once(tmp_path, suffix):
    pixels = _pixels(200, 200)
    wrong = []
    with open_image(_saved(tmp_path / f"a.{suffix}", pixels), cache_bytes=20_000) as image:

        def read(seed):
            rng = np.random.default_rng(seed)
            for _ in range(100):
                top, left = rng.integers(0, 150, 2)
                if not np.array_equal(image.window(top, left, 50, 50), pixels[top : top + 50, left : left + 50]):
                    wrong.append((top, left))

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_closed_image_says_so_and_holds_no_file(tmp_path):
    before = _open_files()
    for suffix in ("png", "tif", "npy"):
        image = open_image(_saved(tmp_path / f"a.{suffix}", _pixels(9, 9)))
        image.window(0, 0, 1, 1)
        image.close()
        image.close()
        _refused(ResourceError, lambda image=image: image.window(0, 0, 1, 1), "closed")
        _refused(ResourceError, image.check, "closed")
    assert _open_files() == before


def _open_files():
    folder = Path("/proc/self/fd")  # of Linux
    return len(list(folder.iterdir())) if folder.is_dir() else 0


@pytest.mark.parametrize(
    "name", ["a.gif", "a", "a.png.exe", "missing.png", "folder.png", "a\0b.png", "x" * 300 + ".png"]
)
def test_what_is_no_image_is_refused(tmp_path, name):
    (tmp_path / "folder.png").mkdir()
    for other in ("a.gif", "a", "a.png.exe"):
        (tmp_path / other).write_bytes(b"GIF89a")
    _refused(DataError, lambda: open_image(f"{tmp_path}/{name}"))


def test_a_pipe_does_not_make_us_wait(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    _refused(DataError, lambda: open_image(tmp_path / "a.png"), "no file")


@pytest.mark.parametrize(
    "name", ["new\nline.png", "\udcff.tif", "a[page=3].tif", "-rf.png", "\x1b[31mred.npy", "%s{0}.png"]
)
def test_hostile_names_are_read_and_written_on_one_line(tmp_path, name):
    pixels = _pixels(4, 5)
    path = _saved(tmp_path / f"plain{name[-4:]}", pixels).rename(tmp_path / name)
    np.testing.assert_array_equal(_whole(path), pixels)
    path.write_bytes(b"nothing")
    _refused(DataError, lambda: open_image(path))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "npy"])
@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.9, 0.999])
def test_a_file_that_is_cut_short_is_refused_when_it_is_opened(tmp_path, suffix, share):
    path = _saved(tmp_path / f"a.{suffix}", _pixels(100, 100))
    os.truncate(path, int(share * path.stat().st_size))
    _refused(DataError, lambda: open_image(path), f"a.{suffix}")


def test_a_check_gives_up_when_time_is_up(tmp_path):
    with open_image(_saved(tmp_path / "a.tif", _pixels(100, 100))) as image:
        image.check(60.0)
        _refused(ResourceError, lambda: image.check(0.0), "within 0 s")


def test_only_tiff_has_levels(tmp_path):
    _refused(UsageError, lambda: open_image(_saved(tmp_path / "a.png", _pixels(4, 4)), level=1), "level 1")
    _refused(UsageError, lambda: open_image(_saved(tmp_path / "a.tif", _pixels(4, 4)), level=1), "it has 1")


def _outcome(path):
    """Read every pixel, or be refused in one line."""
    try:
        with open_image(path) as image:
            image.check(10.0)
            step = 64
            for top in range(0, image.height, step * max(1, image.height // 512)):
                sides = min(step, image.height - top), min(step, image.width)
                assert image.window(top, 0, *sides).shape == (*sides, image.channels)
    except TheodoliteError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "npy"])
def test_mutations_are_read_or_refused_in_one_line(tmp_path, suffix):
    content = _saved(tmp_path / f"sound.{suffix}", np.tile(_pixels(8, 8), (8, 9, 1))).read_bytes()
    path = tmp_path / f"hurt.{suffix}"
    rng = np.random.default_rng(7)
    outcomes = []
    for number in range(100):
        hurt = bytearray(content)
        for _ in range(rng.integers(1, 6)):
            # most blows fall on the headers, where sizes and places stand
            place = int(rng.integers(min(len(hurt), 300) if number % 2 else len(hurt)))
            hurt[place] = int(rng.choice([0, 1, 127, 128, 255, rng.integers(256)]))
        path.write_bytes(hurt if number % 5 else hurt[: int(rng.integers(len(hurt)))])
        outcomes.append(_outcome(path))
    assert any(outcomes)
    assert all(map(str.isprintable, outcomes))
    assert suffix != "tif" or all("hurt.tif" in outcome for outcome in outcomes if outcome)
