import json
import subprocess

import numpy as np
import pytest
from tests.nested_vit.small import trained

from theodolite.kernel.errors import DataError, ResourceError
from theodolite.nested_vit import showcase
from theodolite.nested_vit.audit import audit


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs") / "run", steps=4, batch_size=2, show_size=128)


@pytest.fixture(scope="module")
def audited(run):
    return audit(run)


def test_every_prediction_holds_on_an_untrained_network(audited):
    assert {finding.verdict for finding in audited.findings} == {"holds"}


def test_counts_equal_the_plan_to_the_integer(audited):
    exact = [finding for finding in audited.findings if finding.prediction.claim == "exact"]
    assert len(exact) == 9
    assert all(finding.measurement.value == finding.prediction.value for finding in exact)


def test_sentences_carry_this_runs_numbers(audited):
    found = {finding.prediction.name: finding.measurement.value for finding in audited.findings}
    assert f"{found['flops_large'] / 1e9:,.0f} GFLOPs" in audited.sentences[1]
    assert "128 × 128 px" in audited.sentences[2]
    assert f"{found['iou_without_global']:.2f}" in audited.sentences[0]
    assert any("does not exceed" in warning for warning in audited.warnings)


def test_marks_and_truth_are_shown_as_pictures(run, audited):
    gallery = next(exhibit for exhibit in audited.exhibits if exhibit.kind == "gallery")
    marked, truth = (np.load(run.exhibits / name) for name in (gallery.array, gallery.nearest))
    assert marked.shape == truth.shape == (6, 64, 64, 3)
    assert marked.dtype == np.uint8


def test_a_label_is_audited_without_a_shown_step(tmp_path):
    audited = audit(trained(tmp_path / "run", steps=2, target="label"))
    assert not audited.failed
    assert "digits that occur twice" in audited.sentences[0]
    assert len(audited.sentences) == 3


def test_weights_of_another_shape_are_refused(tmp_path):
    run = trained(tmp_path / "run", steps=1)
    path = run.path / "config.toml"
    path.write_text(path.read_text().replace("width = 16", "width = 32"))
    with pytest.raises(DataError, match="does not fit"):
        audit(run)


def test_the_shown_step_is_a_training_step(run):
    step = showcase.step(run)
    assert step.side == 128
    assert step.loss > 0
    assert step.gradient_norm > 0
    assert step.peak_bytes >= step.base_bytes > 0


def test_the_peak_is_that_of_the_shown_step_not_of_the_process_that_asked(run):
    ballast = np.ones(2**27)  # 1 GiB, held while the step runs elsewhere
    step = showcase.show_step(run)
    assert ballast.nbytes > step.peak_bytes


def test_a_shown_step_that_dies_says_what_to_do(run, monkeypatch):
    def dead(*arguments, **settings):
        return subprocess.CompletedProcess(arguments, -9, stdout="", stderr="")

    monkeypatch.setattr(showcase.subprocess, "run", dead)
    with pytest.raises(ResourceError, match=r"code -9 \(killed\); give a smaller --show-size"):
        showcase.show_step(run)


def test_the_shown_step_leaves_the_run_as_it_was(run):
    before = run.weights.read_bytes()
    showcase.step(run)
    assert run.weights.read_bytes() == before
    assert json.loads((run.path / "plan.json").read_bytes())["family"] == "nested-vit"
