import os

import numpy as np
import pytest
from PIL import Image

from theodolite.data import image_sets
from theodolite.data.image_sets import check_images, count_mask_values, find_images, split
from theodolite.kernel.errors import DataError, UsageError

RNG = np.random.default_rng(0)


def _image(path, height=5, width=7, channels=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)
    Image.fromarray(pixels.squeeze(2) if channels == 1 else pixels).save(path)
    return path


def _mask(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(path)


def _pairs(root, count=3):
    for number in range(count):
        _image(root / "images" / f"{number}.png")
        _mask(root / "masks" / f"{number}.png", RNG.integers(0, 4, (5, 7)))
    return root


def _refused(action, *words, kind=DataError):
    with pytest.raises(kind) as error:
        action()
    message = str(error.value)
    assert message.isprintable()
    assert all(word in message for word in words), message


def test_folders_are_classes(tmp_path):
    for name, count in [("dog", 2), ("cat", 3)]:
        for number in range(count):
            _image(tmp_path / name / f"{number}.png", 5 + number)
    (tmp_path / "cat" / "notes.txt").write_text("")
    (tmp_path / "cat" / ".hidden.png").write_text("")
    (tmp_path / ".git").mkdir()
    found = find_images(tmp_path)
    assert (found.form, found.classes, found.counts()) == ("folders", ("cat", "dog"), {"cat": 3, "dog": 2})
    assert [(image.path.name, image.height, image.width, image.label) for image in found.images] == [
        ("0.png", 5, 7, 0), ("1.png", 6, 7, 0), ("2.png", 7, 7, 0), ("0.png", 5, 7, 1), ("1.png", 6, 7, 1),
    ]  # fmt: skip
    (note,) = found.notes
    assert note.startswith("1 other file")


@pytest.mark.parametrize(("names", "order"), [(["10", "9"], ("9", "10")), (["b", "10", "9"], ("10", "9", "b"))])
def test_classes_are_sorted_by_number_where_all_are_numbers(tmp_path, names, order):
    for name in names:
        _image(tmp_path / name / "a.png")
    assert find_images(tmp_path).classes == order


def test_a_csv_names_images_and_labels(tmp_path):
    for name in ("a.png", "sub/b.png", "ä, c.png"):
        _image(tmp_path / "data" / name, channels=1)
    (tmp_path / "data" / "set.csv").write_text(
        '\ufefflabel,other,path\ndog,1,a.png\n cat ,2,sub/b.png\ndog,3,"ä, c.png"\n', encoding="utf-8"
    )
    found = find_images(tmp_path / "data" / "set.csv")
    assert (found.form, found.classes) == ("csv", ("cat", "dog"))
    assert [(image.path.name, image.label) for image in found.images] == [("a.png", 1), ("b.png", 0), ("ä, c.png", 1)]
    assert found.channels == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no columns"),
        ("path;label\na.png;x\n", "no columns"),
        ("path,label\n", "0 classes"),
        ("path,label\na.png,x\n", "1 classes"),
        ("path,label\na.png,x\n\nb.png,y\n", "line 4: no file"),
        ("path,label\na.png,x\n./a.png,y\n", "line 3 repeats the path of line 2"),
        ("path,label\na.png\n", "line 2: path and label"),
        ("path,label\n,x\n", "line 2: path and label"),
        ("path,label\na\0.png,x\n", "line"),
        ('path,label\n"a.png,x\n', "cannot be read"),
        ("path,label\n/dev/zero,x\n/dev/null,y\n", "no file"),
        ("path,label\n" + "x" * 200_000 + ",y\n", "cannot be read"),
    ],
)
def test_a_csv_that_cannot_be_meant_is_refused(tmp_path, text, words):
    _image(tmp_path / "a.png")
    (tmp_path / "set.csv").write_text(text, encoding="utf-8")
    _refused(lambda: find_images(tmp_path / "set.csv"), "set.csv", words)


def test_a_csv_in_another_encoding_or_too_large_is_refused(tmp_path, monkeypatch):
    (tmp_path / "set.csv").write_bytes(b"path,label\n\xff.png,x\n")
    _refused(lambda: find_images(tmp_path / "set.csv"), "cannot be read")
    monkeypatch.setattr(image_sets, "LARGEST_CSV", 10)
    _refused(lambda: find_images(tmp_path / "set.csv"), "larger than")


def test_images_and_masks_are_paired_by_their_names(tmp_path):
    found = find_images(_pairs(tmp_path))
    assert (found.form, found.classes, found.channels) == ("pairs", (), 3)
    assert [(image.path.name, image.mask.name, image.label) for image in found.images] == [
        (f"{number}.png", f"{number}.png", None) for number in range(3)
    ]
    expected = sum(np.bincount(np.asarray(Image.open(image.mask)).ravel(), minlength=5) for image in found.images)
    np.testing.assert_array_equal(count_mask_values(found, 5), expected)
    assert len(count_mask_values(found)) == np.flatnonzero(expected)[-1] + 1


def test_a_missing_partner_is_named(tmp_path):
    _pairs(tmp_path)
    (tmp_path / "masks" / "1.png").unlink()
    _refused(lambda: find_images(tmp_path), "1.png", "no mask")
    (tmp_path / "images" / "1.png").unlink()
    (tmp_path / "images" / "0.png").unlink()
    _refused(lambda: find_images(tmp_path), "0.png", "no image")
    _image(tmp_path / "images" / "0.png")
    _image(tmp_path / "images" / "2.jpg")
    _refused(lambda: find_images(tmp_path), "2.jpg", "2.png", "one name")
    for file in [*(tmp_path / "images").iterdir(), *(tmp_path / "masks").iterdir()]:
        file.unlink()
    _refused(lambda: find_images(tmp_path), "holds no images")


def test_masks_of_other_sizes_or_in_colour_are_refused(tmp_path):
    _pairs(tmp_path)
    _mask(tmp_path / "masks" / "1.png", np.zeros((7, 5)))
    _refused(lambda: find_images(tmp_path), "1.png is 7 × 5", "5 × 7")
    _mask(tmp_path / "masks" / "1.png", np.zeros((5, 7, 3)))
    _refused(lambda: find_images(tmp_path), "1.png", "3 channels")


def test_values_beyond_the_classes_are_found_with_their_place(tmp_path, monkeypatch):
    monkeypatch.setattr(image_sets, "WINDOW", 2)
    found = find_images(_pairs(tmp_path))
    values = np.zeros((5, 7))
    values[3, 4], values[0, 0] = 9, 255
    _mask(tmp_path / "masks" / "1.png", values)
    _refused(lambda: count_mask_values(found, 5, ignored=255), "1.png holds 9 at row 3, column 4", "0 to 4")
    _refused(lambda: count_mask_values(found, 10), "1.png holds 255 at row 0, column 0")
    counts = count_mask_values(found, 10, ignored=255)
    assert counts.sum() == 3 * 35 - 1
    assert counts[9] == 1


def test_masks_with_palettes_hold_their_indices(tmp_path):
    _image(tmp_path / "images" / "a.png")
    (tmp_path / "masks").mkdir()
    mask = Image.fromarray(RNG.integers(0, 3, (5, 7), dtype=np.uint8)).convert("P")
    mask.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    mask.save(tmp_path / "masks" / "a.png")
    np.testing.assert_array_equal(count_mask_values(find_images(tmp_path)), np.bincount(np.asarray(mask).ravel()))


def test_labels_have_no_masks_to_count(tmp_path):
    for name in "ab":
        _image(tmp_path / name / "a.png")
    _refused(lambda: count_mask_values(find_images(tmp_path)), "no mask", kind=UsageError)


def test_unreadable_files_are_named_and_counted(tmp_path):
    for name in "ab":
        for number in range(3):
            _image(tmp_path / name / f"{number}.png")
    os.truncate(tmp_path / "a" / "1.png", 40)
    os.truncate(tmp_path / "b" / "2.png", 40)
    _refused(lambda: find_images(tmp_path), "a/1.png", "cut short", "the first of 2")


def test_what_is_no_set_is_refused(tmp_path):
    _refused(lambda: find_images(tmp_path / "missing"), "no set of images", "a folder for each class")
    _refused(lambda: find_images(tmp_path), "0 folders")
    _image(tmp_path / "a" / "0.png")
    _refused(lambda: find_images(tmp_path), "1 folders")
    (tmp_path / "b").mkdir()
    _refused(lambda: find_images(tmp_path), "b holds no images")


def test_hostile_names_are_said_on_one_line(tmp_path):
    for name in ("new\nline", "\udcff"):
        _image(tmp_path / name / "\x1b[31m.png")
    found = find_images(tmp_path)
    assert all(name.isprintable() for name in found.classes)
    os.truncate(found.images[0].path, 9)
    _refused(lambda: find_images(tmp_path))


def _classes(root, count):
    for name in "abc":
        for number in range(count):
            _image(root / name / f"{number}.png")
    return root


def test_each_class_is_divided_by_itself(tmp_path):
    found = find_images(_classes(tmp_path, 10))
    training, held_out, notes, _ = split(found, 0.2, seed=0)
    assert notes == ()
    assert sorted([*training, *held_out]) == list(range(30))
    assert [found.images[place].label for place in held_out] == [0, 0, 1, 1, 2, 2]
    np.testing.assert_array_equal(split(found, 0.2, seed=0).held_out, held_out)
    assert any(split(found, 0.2, seed).held_out.tolist() != held_out.tolist() for seed in range(1, 4))


def test_equal_files_stay_on_one_side_whatever_their_names(tmp_path):
    _classes(tmp_path, 6)
    for number in range(6):
        (tmp_path / "a" / f"copy {number}.png").write_bytes((tmp_path / "a" / f"{number}.png").read_bytes())
    (tmp_path / "c" / "other.png").write_bytes((tmp_path / "b" / "0.png").read_bytes())
    found = find_images(tmp_path)
    for seed in range(10):
        training, held_out, notes, _ = split(found, 0.5, seed)
        contents = [{found.images[place].path.read_bytes() for place in side} for side in (training, held_out)]
        assert not contents[0] & contents[1]
        assert [note.split(" ")[0] for note in notes] == ["7", "1"]  # copies, contradictory labels


def test_the_side_depends_on_no_name(tmp_path):
    first = find_images(_classes(tmp_path / "one", 9))
    for name in "abc":
        (tmp_path / "two" / name).mkdir(parents=True)
        for number in range(9):
            content = (tmp_path / "one" / name / f"{number}.png").read_bytes()
            (tmp_path / "two" / name / f"{8 - number} renamed.png").write_bytes(content)
    second = find_images(tmp_path / "two")
    sides = [
        {found.images[place].path.read_bytes() for place in split(found, 0.3, seed=5).held_out}
        for found in (first, second)
    ]
    assert sides[0] == sides[1]


def test_small_classes_keep_one_image_to_train_on(tmp_path):
    _image(tmp_path / "a" / "0.png")
    for number in range(2):
        _image(tmp_path / "b" / f"{number}.png")
    found = find_images(tmp_path)
    training, held_out, notes, _ = split(found, 0.9, seed=0)
    assert [found.images[place].label for place in held_out] == [1]
    assert len(training) == 2
    assert "class a has one image" in notes[0]
    (tmp_path / "b" / "0.png").unlink()
    _refused(lambda: split(find_images(tmp_path), 0.5, 0), "two different images")


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_shares_must_be_shares(tmp_path, share):
    found = find_images(_pairs(tmp_path))
    _refused(lambda: split(found, share, 0), "share", kind=UsageError)
    (tmp_path / "images" / "1.png").unlink()
    _refused(lambda: split(found, 0.5, 0), "1.png")


def test_what_a_set_holds_is_one_number_whatever_its_names(tmp_path):
    for number in range(4):
        path = _image(tmp_path / "a" / ("x" if number % 2 else "y") / f"{number}.png", 5 + number)
        copy = tmp_path / "b" / path.parent.name / f"renamed {number}.png"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    first, again = (split(find_images(tmp_path / name), 0.5, 0).sha256 for name in "ab")
    assert first == again
    (tmp_path / "b" / "x" / "renamed 1.png").rename(tmp_path / "b" / "y" / "1.png")
    assert split(find_images(tmp_path / "b"), 0.5, 0).sha256 != first


def test_a_changed_mask_is_another_set(tmp_path):
    before = split(find_images(_pairs(tmp_path)), 0.5, 0).sha256
    _mask(tmp_path / "masks" / "1.png", np.full((5, 7), 9))
    assert split(find_images(tmp_path), 0.5, 0).sha256 != before


def test_damage_far_inside_is_found_and_counted(tmp_path):
    for number in range(4):
        _image(tmp_path / "xy"[number % 2] / f"{number}.png", 50, 60)
    found = find_images(tmp_path)
    check_images(found)
    for number in (0, 2):
        path = tmp_path / "x" / f"{number}.png"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    _refused(lambda: check_images(find_images(tmp_path)), "0.png", "the first of 2")
