import subprocess
import sys

import numpy as np
import pytest
from tests.nested_vit.own import folders, pairs, written
from tests.tolerances import assert_identity

from theodolite import families
from theodolite.data import image_sets
from theodolite.data.large_images import LargeImage
from theodolite.kernel.errors import DataError, ResourceError, UsageError
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.costs import Costs


def planned(data, **fields):
    return families.plan("nested-vit", data=str(data), **{"patch": 4, "window": 4, "width": 16, **fields})


def test_the_plan_is_of_the_largest_image(tmp_path):
    written(folders(tmp_path) / "dark" / "largest.png", np.zeros((70, 130, 3), np.uint8))
    plan = planned(tmp_path)
    found = {prediction.name: prediction.value for prediction in plan.predictions}
    costs = Costs(NestedViTConfig(**plan.config), 70, 130)
    assert found["flops_forward"] == costs.forward
    assert found["flops_stored"] == costs.stored
    sizes = plan.exhibits[1].rows
    assert sizes[-1][:5] == ("largest", 70, 130, 5 * 9, 5 * 9 * 17)
    assert plan.exhibits[2].rows == (("bright", 5, 1), ("dark", 6, 1))


def test_nothing_is_decoded_and_no_torch_is_loaded(tmp_path, monkeypatch):
    data = [folders(tmp_path / "labels"), pairs(tmp_path / "masks")]
    code = (
        "import sys; from theodolite import families; "
        "[families.plan('nested-vit', data=path) for path in sys.argv[1:]]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, *map(str, data)], check=False, timeout=120).returncode == 0

    def refuse(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(LargeImage, "window", refuse)
    assert "constant_loss" in {each.name for each in planned(data[0]).predictions}
    counted = planned(data[1], classes=3)  # masks are not counted where it is said how many classes they hold
    assert "constant_loss" not in {each.name for each in counted.predictions}


def test_the_constant_answer_is_that_of_the_training_images(tmp_path):
    for number in range(20):
        written(tmp_path / ("a" if number < 15 else "b") / f"{number}.png", np.full((20, 20), number, np.uint8))
    found = {each.name: each.value for each in planned(tmp_path).predictions}
    assert_identity(found["constant_loss"], -np.mean([np.log(13 / 18)] * 3 + [np.log(5 / 18)]))


def test_an_image_larger_than_the_memory_is_planned_to_be_read_by_windows(tmp_path):
    pixels = np.lib.format.open_memmap(
        folders(tmp_path) / "dark" / "large.npy", mode="w+", dtype=np.uint8, shape=(3000, 3000, 3)
    )
    assert pixels.nbytes > 20 * 2**20
    row = planned(tmp_path, window=16, memory="20MiB").exhibits[1].rows[-1]
    assert (row[0], row[1], row[3]) == ("largest", 3000, 47**2)
    assert row[7] != "ordinary"
    assert row[8] < 21


def test_what_the_reader_must_know_is_assumed(tmp_path):
    assumed = " ".join(planned(pairs(tmp_path, values=(0, 255))).assumptions)
    assert "255 is class 1" in assumed
    assert "may hold 2 GiB" in assumed


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        ({"memory": "1MiB", "width": 64}, ResourceError, "give more --memory"),
        ({"size": 512}, UsageError, "size=512 is a setting of the twins' canvases; .* leave --size out"),
        ({"digits_share": 0.1}, UsageError, "leave --digits-share out"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, fields, kind, message):
    with pytest.raises(kind, match=message) as caught:
        planned(folders(tmp_path), **fields)
    assert "\n" not in str(caught.value)


def test_a_path_without_images_names_the_forms(tmp_path):
    with pytest.raises(DataError, match=r"no set of images at .*nowhere; give a folder for each class"):
        planned(tmp_path / "nowhere")
    assert image_sets.FORMS.startswith("a folder for each class")
