import numpy as np
import pytest
import torch
from PIL import Image
from tests.nested_vit.small import trained
from tests.tolerances import assert_single

from theodolite.engine.export import load_weights
from theodolite.kernel.errors import DataError, UsageError
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.lessons import Lessons
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.predict import predict


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs") / "run", steps=2, digits_share=0.0, twins_share=0.0)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (37, 90, 3), dtype=np.uint8)


def test_chunks_say_what_one_pass_says(run, pixels, tmp_path):
    np.save(tmp_path / "image.npy", pixels)
    said = predict(run, tmp_path / "image.npy", tmp_path / "map.npy")
    lessons = Lessons(NestedViT(run.settings(NestedViTConfig)))
    load_weights(run, {"lessons": lessons})
    with torch.no_grad():
        expected = lessons.network(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0, 0].sigmoid()
    found = np.load(tmp_path / "map.npy")
    assert_single(found, expected.numpy())
    assert said["marked"] == (found > 0.5).mean()
    assert (said["height"], said["width"], said["windows"]) == (37, 90, 3 * 6)


def test_a_picture_file_and_an_array_are_the_same(run, pixels, tmp_path):
    np.save(tmp_path / "image.npy", pixels)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    for suffix in ("npy", "png"):
        predict(run, tmp_path / f"image.{suffix}", tmp_path / f"from_{suffix}.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "from_npy.npy"), np.load(tmp_path / "from_png.npy"))


def test_a_grey_array_has_three_equal_colours_and_marks_become_a_picture(run, pixels, tmp_path):
    np.save(tmp_path / "grey.npy", pixels[..., 0])
    predict(run, tmp_path / "grey.npy", tmp_path / "marked.webp")
    with Image.open(tmp_path / "marked.webp") as image:
        assert image.size == (90, 37)


def test_labels_are_named(pixels, tmp_path):
    run = trained(tmp_path / "run", steps=1, target="label")
    np.save(tmp_path / "image.npy", pixels)
    said = predict(run, tmp_path / "image.npy", tmp_path / "labels.npy")
    assert np.load(tmp_path / "labels.npy").shape == (6,)
    assert set(said["labels"]) <= set(range(6))
    with pytest.raises(UsageError, match=r"must end in .npy for labels"):
        predict(run, tmp_path / "image.npy", tmp_path / "labels.webp")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4)), "holds float64"),
        (np.zeros((4, 4, 4), np.uint8), "uint8 of shape"),
        (np.zeros((0, 4), np.uint8), "uint8 of shape"),
        (np.array([{"a": 1}], dtype=object), "cannot be read as an array"),
    ],
)
def test_arrays_that_are_no_image_are_refused(run, tmp_path, array, message):
    np.save(tmp_path / "image.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        predict(run, tmp_path / "image.npy", tmp_path / "out.npy")


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.png", "no image at"), ("none.npy", "cannot be read"), ("note.txt", "is no image that is read")],
)
def test_files_that_are_no_image_are_refused(run, tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        predict(run, tmp_path / name, tmp_path / "out.npy")


def test_a_damaged_picture_is_refused(run, tmp_path):
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    with pytest.raises(DataError, match=r"image\.png"):
        predict(run, tmp_path / "image.png", tmp_path / "out.npy")


def test_an_unknown_target_is_refused(run, tmp_path):
    with pytest.raises(UsageError, match=r"must end in .npy or .webp"):
        predict(run, tmp_path / "image.npy", tmp_path / "out.gif")
