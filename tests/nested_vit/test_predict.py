import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from tests.nested_vit import own
from tests.nested_vit.small import trained
from tests.tolerances import assert_single

from theodolite.engine.export import load_weights
from theodolite.kernel.errors import DataError, UsageError
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.lessons import Lessons
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.own_training import trained_network
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
    Image.fromarray(pixels).save(tmp_path / "image.webp", lossless=True)
    for suffix in ("npy", "png", "webp"):
        predict(run, tmp_path / f"image.{suffix}", tmp_path / f"from_{suffix}.npy")
    for suffix in ("png", "webp"):
        np.testing.assert_array_equal(np.load(tmp_path / "from_npy.npy"), np.load(tmp_path / f"from_{suffix}.npy"))


def test_a_grey_array_has_three_equal_colours_and_marks_become_a_picture(run, pixels, tmp_path):
    np.save(tmp_path / "grey.npy", pixels[..., 0])
    predict(run, tmp_path / "grey.npy", tmp_path / "marked.webp")
    with Image.open(tmp_path / "marked.webp") as image:
        assert image.size == (90, 37)


def test_labels_are_named(pixels, tmp_path):
    run = trained(tmp_path / "run", steps=1, target="label")
    np.save(tmp_path / "image.npy", pixels)
    said = predict(run, tmp_path / "image.npy", tmp_path / "labels.npy")
    probabilities = np.load(tmp_path / "labels.npy")
    assert probabilities.shape == (6,)
    assert said["label"].split() == [str(label) for label in np.flatnonzero(probabilities > 0.5)]
    with pytest.raises(UsageError, match=r"must end in .csv for labels"):
        predict(run, tmp_path / "image.npy", tmp_path / "labels.webp")


def test_a_folder_of_images_becomes_a_line_each(tmp_path):
    run = own.trained(tmp_path / "run", own.folders(tmp_path / "data"), steps=30, learning_rate=0.01)
    said = predict(run, tmp_path / "data" / "dark")
    assert said == {"images": 6, "target": str(run.path / "predictions.csv")}
    with (run.path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "bright", "dark"]
    assert [Path(row["path"]).name for row in rows] == ["0.png", "10.png", "2.png", "4.png", "6.png", "8.png"]
    network = trained_network(run, run.settings(NestedViTConfig))
    for row in rows:
        pixels = np.asarray(Image.open(row["path"]))
        with torch.no_grad():
            expected = network(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])[0].softmax(dim=0)
        assert_single([float(row["bright"]), float(row["dark"])], expected)
        assert row["label"] == ("dark" if expected[1] > expected[0] else "bright")
    one = predict(run, tmp_path / "data" / "dark" / "0.png", tmp_path / "one.csv")
    assert one["label"] == rows[0]["label"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        predict(run, tmp_path / "empty", tmp_path / "none.csv")
    with pytest.raises(UsageError, match="for those of one image"):
        predict(run, tmp_path / "data" / "dark", tmp_path / "all.npy")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_map_is_written_by_rows_and_equals_the_whole_one(tmp_path, suffix):
    run = own.trained(tmp_path / "run", own.pairs(tmp_path / "data"), steps=8, learning_rate=0.01)
    pixels = np.random.default_rng(1).integers(0, 256, (300, 330, 3), dtype=np.uint8)
    pixels[:, 100:200] //= 4
    source = tmp_path / f"image.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(source, pixels, tile=(32, 48), compression="zlib", photometric="rgb")
    else:
        Image.fromarray(pixels).save(source)
    said = predict(run, source)
    found = tifffile.imread(run.path / "map.tif")
    with torch.no_grad():
        network = trained_network(run, run.settings(NestedViTConfig))
        logits = network(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0]
    np.testing.assert_array_equal(found, logits.argmax(dim=0).numpy())
    assert said["target"].endswith("map.tif")
    assert_single(said["shares"], np.bincount(found.ravel(), minlength=3) / found.size)
    with pytest.raises(UsageError, match=r"must end in \.tif: this network tells every pixel"):
        predict(run, source, tmp_path / "map.npy")
    with pytest.raises(UsageError, match="is a folder; a map is written of one image"):
        predict(run, tmp_path / "data" / "images")


def test_images_in_colour_are_not_made_grey(tmp_path, pixels):
    run = own.trained(tmp_path / "run", own.folders(tmp_path / "data", channels=1), steps=1)
    Image.fromarray(pixels).save(tmp_path / "colour.png")
    Image.fromarray(pixels).save(tmp_path / "colour.webp")
    for name in ("colour.png", "colour.webp"):
        with pytest.raises(UsageError, match="in colour"):
            predict(run, tmp_path / name)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4)), "holds float64"),
        (np.zeros((4, 4, 5), np.uint8), "uint8 or uint16 of shape"),
        (np.zeros((0, 4), np.uint8), "uint8 or uint16 of shape"),
        (np.array([{"a": 1}], dtype=object), r"image\.npy"),
    ],
)
def test_arrays_that_are_no_image_are_refused(run, tmp_path, array, message):
    np.save(tmp_path / "image.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        predict(run, tmp_path / "image.npy", tmp_path / "out.npy")


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.png", "cannot open"), ("none.webp", "no image at"), ("note.txt", "is no image that is read")],
)
def test_files_that_are_no_image_are_refused(run, tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        predict(run, tmp_path / name, tmp_path / "out.npy")


def test_a_damaged_picture_is_refused(run, tmp_path):
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    with pytest.raises(DataError, match=r"image\.png"):
        predict(run, tmp_path / "image.png", tmp_path / "out.npy")


def test_an_unknown_target_is_refused(run, tmp_path):
    with pytest.raises(UsageError, match=r"must end in .tif, .npy or .webp"):
        predict(run, tmp_path / "image.npy", tmp_path / "out.gif")
