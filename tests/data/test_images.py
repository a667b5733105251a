import numpy as np
import pytest
from PIL import Image

from theodolite.data import images
from theodolite.data.images import image_files, load_images
from theodolite.kernel.errors import DataError

BUDGET = 10**8
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)


def _refused(folder, *words, budget=BUDGET):
    with pytest.raises(DataError) as error:
        load_images(folder, budget)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("suffix", ["png", "tif", "tiff", "PNG"])
def test_lossless_formats_give_back_the_pixels(tmp_path, suffix):
    Image.fromarray(PIXELS).save(tmp_path / f"b.{suffix}")
    Image.fromarray(PIXELS[::-1]).save(tmp_path / f"a.{suffix}")
    found = load_images(tmp_path, BUDGET)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, [PIXELS[::-1], PIXELS])  # in the order of the names


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp"])
def test_lossy_formats_are_read(tmp_path, suffix):
    Image.new("RGB", (9, 8), (200, 100, 50)).save(tmp_path / f"a.{suffix}")
    found = load_images(tmp_path, BUDGET)
    assert found.shape == (1, 8, 9, 3)
    assert np.abs(found.astype(int) - [200, 100, 50]).max() < 8  # a flat colour survives coding


def test_grey_stays_grey_unless_one_is_coloured(tmp_path):
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "a.png")
    assert load_images(tmp_path, BUDGET).shape == (1, 6, 7)
    Image.fromarray(PIXELS).save(tmp_path / "b.png")
    found = load_images(tmp_path, BUDGET)
    assert found.shape == (2, 6, 7, 3)
    np.testing.assert_array_equal(found[0], np.repeat(PIXELS[..., :1], 3, axis=2))


def test_transparency_and_palettes_are_resolved(tmp_path):
    Image.fromarray(np.dstack([PIXELS, np.full((6, 7), 128, np.uint8)])).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_images(tmp_path, BUDGET)[0], PIXELS)
    (tmp_path / "a.png").unlink()
    Image.new("RGB", (7, 6), (10, 20, 30)).quantize(4).save(tmp_path / "a.png")
    assert load_images(tmp_path, BUDGET)[0, 0, 0].tolist() == [10, 20, 30]


def test_images_are_turned_upright(tmp_path):
    tag = Image.Exif()
    tag[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=tag)
    np.testing.assert_array_equal(load_images(tmp_path, BUDGET)[0], np.rot90(PIXELS, -1))


def test_other_files_and_subfolders_are_passed_over(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "b.png").mkdir()
    assert [path.name for path in image_files(tmp_path)] == ["a.png"]


def test_an_empty_folder_is_told(tmp_path):
    _refused(tmp_path, "no images in", "PNG")


@pytest.mark.parametrize("kept", [0, 20, 60, 0.9])
def test_a_damaged_image_is_named(tmp_path, kept):
    Image.fromarray(np.tile(PIXELS, (9, 9, 1))).save(tmp_path / "good.png")
    content = (tmp_path / "good.png").read_bytes()
    (tmp_path / "hurt.png").write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    _refused(tmp_path, "hurt.png", "cannot be read")


def test_a_format_that_the_name_does_not_promise_is_refused(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.gif")
    (tmp_path / "a.gif").rename(tmp_path / "a.png")
    _refused(tmp_path, "a.png", "cannot be read")


def test_images_of_two_sizes_say_which(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    Image.fromarray(PIXELS[:3]).save(tmp_path / "b.png")
    _refused(tmp_path, "a.png is 7 × 6", "b.png is 7 × 3")


def test_budgets_are_checked_before_decoding(tmp_path, monkeypatch):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    _refused(tmp_path, "GiB", budget=6 * 7 * 3 - 1)
    monkeypatch.setattr(images, "MOST_PIXELS", 41)
    _refused(tmp_path, "a.png", "7 × 6", "41")


def test_what_even_pillow_takes_for_a_bomb_is_one_line(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "a.png")
    _refused(tmp_path, "a.png")


def test_deep_pixels_are_refused_rather_than_cut(tmp_path):
    Image.fromarray(np.arange(42, dtype=np.uint16).reshape(6, 7) * 1000).save(tmp_path / "a.png")
    _refused(tmp_path, "a.png", "8-bit")
