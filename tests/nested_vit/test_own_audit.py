import numpy as np
import pytest
import torch
from tests.nested_vit.own import folders, pairs, trained, written
from tests.tolerances import assert_single

from theodolite import families
from theodolite.kernel.errors import DataError
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.own_audit import _warnings, constant_answer
from theodolite.nested_vit.own_evaluation import Seen
from theodolite.nested_vit.own_training import trained_network


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    root = tmp_path_factory.mktemp("labelled")
    run = trained(root / "run", folders(root / "data"), steps=8)
    return run, families.audit(run.path)


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    root = tmp_path_factory.mktemp("dense")
    run = trained(root / "run", pairs(root / "data"), steps=8)
    return run, families.audit(run.path)


@pytest.fixture(params=["labelled", "dense"])
def audited(request):
    return request.getfixturevalue(request.param)


def test_every_prediction_holds(audited):
    run, audit = audited
    assert {finding.verdict for finding in audit.findings} == {"holds"}
    assert [finding.prediction.name for finding in audit.findings] == [each.name for each in run.plan.predictions]
    exact = [finding for finding in audit.findings if finding.prediction.claim == "exact"]
    assert len(exact) == 6
    assert all(each.measurement.value == each.prediction.value for each in exact if each.prediction.tolerance == 0)


def test_the_report_shows_what_was_found(audited):
    run, audit = audited
    page = families.write_report(run).read_text(encoding="utf-8")
    assert "held-out images" in page
    kinds = {exhibit.kind for exhibit in audit.exhibits}
    assert {"gallery", "chart", "table"} <= kinds
    assert len(audit.figures) <= 4


def test_labels_have_maps_of_what_they_rest_on(labelled):
    run, audit = labelled
    (grid,) = (exhibit for exhibit in audit.exhibits if exhibit.kind == "grid")
    assert np.load(run.exhibits / grid.array).shape[0] == len(grid.panel_names)
    assert "mean colour" in grid.caption


def test_classes_counted_by_the_user_leave_the_constant_unpredicted(tmp_path):
    audit = families.audit(trained(tmp_path / "run", pairs(tmp_path / "data"), classes=5).path)
    assert "constant_loss" not in {finding.prediction.name for finding in audit.findings}
    assert not audit.failed


def test_one_logit_of_0_and_255_is_audited(tmp_path):
    audit = families.audit(trained(tmp_path / "run", pairs(tmp_path / "data", values=(0, 255)), classes=1).path)
    assert {finding.verdict for finding in audit.findings} == {"holds"}


def test_the_constant_answer_is_the_same_for_all(labelled):
    run, _ = labelled
    network = constant_answer(trained_network(run, run.settings(NestedViTConfig)), [0.2, 0.8])
    with torch.no_grad():
        said = network(torch.rand(3, 3, 20, 30)).softmax(dim=1)
    assert_single(said, [[0.2, 0.8]] * 3)


def test_a_network_no_better_than_a_constant_is_warned_of():
    one = np.ones((2, 2))
    good, poor = (Seen(False, np.full(2, loss), one, one, one) for loss in (0.3, 0.7))
    assert not _warnings(good, poor)
    assert "the same for all" in _warnings(poor, good)[0]


def test_images_changed_since_are_not_audited(tmp_path):
    run = trained(tmp_path / "run", folders(tmp_path / "data"), steps=1)
    written(tmp_path / "data" / "dark" / "0.png", np.zeros((20, 41, 3), np.uint8))
    with pytest.raises(DataError, match=r"is not what .* was trained on: files or labels differ"):
        families.audit(run.path)


def test_16_bits_grey_with_alpha_and_single_pixels_are_images(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(6):
        for name, low in (("dark", 0), ("bright", 2**15)):
            height, width = ((1, 1), (1, 30), (30, 1), (33, 17), (16, 16), (5, 40))[number]
            pixels = rng.integers(low, low + 2**14, (height, width), dtype=np.uint16)
            written(tmp_path / "data" / name / f"{number}.png", pixels)
        alpha = rng.integers(0, 256, (20, 20 + number, 2), dtype=np.uint8)
        written(tmp_path / "data" / "alpha" / f"{number}.png", alpha)
    run = trained(tmp_path / "run", tmp_path / "data", steps=3)
    assert run.settings(NestedViTConfig).channels == 1
    audit = families.audit(run.path)
    assert not audit.failed
    (grid,) = (exhibit for exhibit in audit.exhibits if exhibit.kind == "grid")
    assert np.isfinite(np.load(run.exhibits / grid.array)).all()
