import numpy as np
import pytest
from PIL import Image
from tests.nested_vit.own import folders, pairs, written
from tests.tolerances import assert_identity

from theodolite.kernel.errors import DataError, UsageError
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.own_images import MEMORY, constant_loss, count_masks, find, label_counts, settle, shares


def settled(data, **fields):
    config = NestedViTConfig(data=str(data), **fields)
    images = find(config)
    return settle(config, images, count_masks(images) if images.dense else None)


def test_folders_decide_target_classes_and_channels(tmp_path):
    colour, grey = settled(folders(tmp_path / "colour")), settled(folders(tmp_path / "grey", channels=1))
    assert (colour.target, colour.classes, colour.channels, colour.memory) == ("label", 2, 3, MEMORY)
    assert grey.channels == 1
    assert settled(tmp_path / "grey", channels=3).channels == 3  # grey may be read as colour
    assert settle(colour, find(colour), None) == colour  # once settled it stays


def test_a_csv_decides_as_folders_do(tmp_path):
    folders(tmp_path)
    lines = [f"{path.relative_to(tmp_path)},{path.parent.name}" for path in sorted(tmp_path.rglob("*.png"))]
    (tmp_path / "set.csv").write_text("\n".join(["path,label", *lines]))
    by_csv, by_folders = settled(tmp_path / "set.csv"), settled(tmp_path)
    assert by_csv == by_folders.model_copy(update={"data": by_csv.data})
    assert find(by_csv).division.sha256 == find(by_folders).division.sha256


def test_masks_decide_how_many_classes(tmp_path):
    config = settled(pairs(tmp_path))
    assert (config.target, config.classes) == ("dense", 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target": "dense"}, "has labels, which tell whole images; leave --target out"),
        ({"classes": 3}, "classes=3 was asked for, but .* has 2; leave --classes out"),
        ({"channels": 1}, "holds images in colour, which are not made grey; leave --channels out"),
        ({"channels": 7}, "image files have 1 to 4: leave --channels out"),
    ],
)
def test_what_contradicts_the_images_is_refused(tmp_path, fields, message):
    with pytest.raises(UsageError, match=message) as caught:
        settled(folders(tmp_path), **fields)
    assert "\n" not in str(caught.value)


def test_labels_of_masks_are_refused(tmp_path):
    with pytest.raises(UsageError, match="has masks, which tell pixels; leave --target out"):
        settled(pairs(tmp_path), target="label")


def test_pixels_of_masks_are_counted_image_by_image(tmp_path):
    images = find(NestedViTConfig(data=str(pairs(tmp_path))))
    masks = count_masks(images)
    assert not masks.marks
    for image, counts in zip(images.all.images, masks.counts, strict=True):
        with Image.open(image.mask) as mask:
            values = np.asarray(mask).ravel()
        np.testing.assert_array_equal(counts, np.bincount(values[values != 255], minlength=3))


def test_0_and_255_alone_are_two_classes(tmp_path):
    masks = count_masks(find(NestedViTConfig(data=str(pairs(tmp_path, values=(0, 255))))), classes=1)
    assert masks.marks
    assert masks.counts.shape == (8, 2)
    assert masks.counts.all()


def test_masks_that_hold_more_than_was_said_or_one_class_are_refused(tmp_path):
    images = find(NestedViTConfig(data=str(pairs(tmp_path / "three"))))
    with pytest.raises(DataError, match=r"0\.png holds 2, and classes=2 allows 0 to 1"):
        count_masks(images, classes=2)
    with pytest.raises(DataError, match="are of one class"):
        count_masks(find(NestedViTConfig(data=str(pairs(tmp_path / "one", values=(0,))))))


def test_a_class_that_only_few_masks_hold_is_counted(tmp_path):
    written(pairs(tmp_path) / "masks" / "0.png", np.full((21, 40), 7, np.uint8))
    assert settled(tmp_path).classes == 8


def test_held_out_images_are_drawn_once_for_all(tmp_path):
    images = find(NestedViTConfig(data=str(folders(tmp_path, count=40))))
    drawn = images.measured(3)
    assert list(drawn) == sorted(set(drawn)) == list(images.measured(3))
    assert set(drawn) <= set(images.division.held_out)
    assert list(images.measured(10**6)) == list(images.division.held_out)
    assert not set(images.division.training) & set(images.division.held_out)


def test_the_constant_answer_costs_the_entropy_where_shares_agree():
    counts = np.array([[30, 10], [10, 30]])
    p = shares(counts, 2)
    assert_identity(p, [0.5, 0.5])
    assert_identity(constant_loss(counts, p), np.log(2))
    assert_identity(constant_loss(np.array([[0, 0]]), p), 0)  # nothing is known of this image
    slow = -np.mean([sum(n / 40 * np.log(q) for n, q in zip(row, (0.25, 0.75), strict=True)) for row in counts])
    assert_identity(constant_loss(counts, np.array([0.25, 0.75])), slow)


def test_shares_of_one_logit_are_those_of_two_classes(tmp_path):
    assert shares(np.array([[3, 1]]), 1).shape == (2,)
    images = find(NestedViTConfig(data=str(folders(tmp_path)))).all.images
    assert label_counts(images, 2).sum(axis=0).tolist() == [6, 6]
