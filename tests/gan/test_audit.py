"""The audit on generators that are right or wrong by construction, and one trained run from its folder."""

import json

import numpy as np
import pytest
from tests.gan.ideal import ideal
from tests.tolerances import assert_sampling

from theodolite import families
from theodolite.data.mixtures import Mixture
from theodolite.gan import examination
from theodolite.gan.audit import audit
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import load, record
from theodolite.gan.examination import collect
from theodolite.gan.plan import plan
from theodolite.kernel.errors import DataError
from theodolite.kernel.runs import RunFolder

SMALL = {"reals": 3000, "width": 16, "depth": 1, "fakes": 6000}


@pytest.fixture
def audited(tmp_path, monkeypatch):
    """Audit a run whose generator was replaced by one that is known."""

    def of(make=None, shift=0.0, **fields):
        config = GANConfig(**SMALL, **fields)
        run = RunFolder.create(tmp_path / "run", "gan", config, GANTraining(), plan(config))
        record(run, config, load(config))
        monkeypatch.setattr(examination, "TrainedGAN", ideal(make, shift))
        return audit(run), run

    return of


def verdicts(found):
    return {finding.prediction.name: finding.verdict for finding in found.findings}


def measured(found, name):
    return next(f.measurement for f in found.findings if f.prediction.name == name)


def test_an_ideal_generator_meets_every_prediction(audited):
    found, _ = audited(data="ring8", shift=7.0)
    assert set(verdicts(found).values()) == {"holds"}
    assert found.sentences[0].startswith("The generator makes 8 of 8 modes; 9")
    assert "At least" not in " ".join(found.sentences)
    assert found.figures[0].value == "8 of 8"


def test_a_withheld_mode_is_found_missed(audited):
    found, run = audited(data="line", withhold=2)
    # of so few samples some findings stay open; none fails
    assert set(verdicts(found).values()) <= {"holds", "undecided"}
    assert verdicts(found)["missed_mass"] == "holds"
    assert "makes 2 of 3 modes" in found.sentences[0]
    assert (
        "In the mode at x = 8 that it misses lies 10.0% of the data; the trained D, which was never"
        in found.sentences[1]
    )
    table = next(exhibit for exhibit in found.exhibits if exhibit.kind == "table" and "due" in exhibit.columns)
    named, held_out = table.rows[2][3:5]
    assert named >= 0.9 * held_out
    assert sum(row[3] for row in table.rows[:2]) <= 0.2 * named
    assert found.exhibits[0].title.startswith("The mode at x = 8 is missed: 10.")
    assert run.exhibits.is_dir()


def test_a_generator_that_makes_what_it_was_never_shown_contradicts_the_plan(audited):
    found, _ = audited(make=lambda data: data.truth, data="ring8", withhold=1)
    assert found.failed
    told = verdicts(found)
    assert told["missed_mass"] == told["overlap"] == told["modes"] == "fails"
    assert told["discriminator_excess"] == told["certificate_excess"] == "holds"


def test_narrow_modes_are_counted_yet_found_wanting(audited):
    def narrow(data):
        return Mixture("narrow", data.truth.centres, data.truth.weights, data.truth.spread / 3)

    found, _ = audited(make=narrow, data="ring8")
    assert found.figures[0].value == "8 of 8"
    assert any(sentence.startswith("At least") for sentence in found.sentences)
    assert measured(found, "high_quality").value > 0.99


def test_the_plane_is_stored_with_the_top_row_first(audited):
    found, run = audited(data="ring8", make=lambda data: Mixture("top", np.array([[0.0, 2.0]]), np.ones(1), 0.2))
    panels = np.load(run.exhibits / found.exhibits[0].array)
    assert panels.shape[0] == len(found.exhibits[0].panel_names) == 4
    row, column = np.unravel_index(panels[1].argmax(), panels[1].shape)
    assert row < panels.shape[1] / 4
    assert abs(column - panels.shape[2] / 2) < panels.shape[2] / 10
    assert "7 of 8 modes are missed" in found.exhibits[0].title


def test_collecting_modes_from_nothing_to_all():
    mixture = Mixture("two", np.array([[0.0], [10.0]]), np.array([0.5, 0.5]), 1.0)
    samples = np.array([[0.0], [0.1], [10.0], [5.0], [10.0], [0.0], [0.0]])
    assert collect(mixture, samples).tolist() == [3, 3]
    assert collect(mixture, samples[:2]).tolist() == [2]
    assert_sampling(collect(mixture, mixture.sample(9000, 0)[0]), 3.0 + 0.0027 * 3)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A few steps on digits, one of them withheld."""
    out = tmp_path_factory.mktemp("digits") / "run"
    run = families.train("gan", out, data="digits", withhold=7, steps=15, width=16, fakes=3000, device="cpu")
    return run, families.audit(run)


def test_a_run_on_digits_is_audited_with_pictures(digits):
    run, found = digits
    kinds = [exhibit.kind for exhibit in found.exhibits]
    assert kinds.count("gallery") in (3, 4)  # missed, made, the course; what is missed may fall into groups
    assert {"missed_mass", "overlap", "game_value"} <= set(verdicts(found))
    made = next(exhibit for exhibit in found.exhibits if exhibit.kind == "gallery" and exhibit.row_name == "generated")
    tiles = np.load(run.exhibits / made.array)
    assert tiles.dtype == np.uint8
    assert tiles.shape == (len(made.labels), 8, 8)
    assert "held-out 7s, which training never saw" in found.sentences[1]


def test_a_falsified_prediction_fails(digits):
    run, found = digits
    altered = [
        prediction.model_copy(update={"value": prediction.value + 1})
        for prediction in run.plan.predictions
        if prediction.claim == "exact"
    ]
    from theodolite.kernel.verdict import judge

    for prediction in altered:
        assert judge(prediction, measured(found, prediction.name)) == "fails"


def test_other_data_are_refused(digits):
    run, _ = digits
    path = run.path / "data.json"
    kept = path.read_text()
    path.write_text(json.dumps(json.loads(kept) | {"sha256": "0"}))
    try:
        with pytest.raises(DataError, match="another SHA-256"):
            audit(run)
    finally:
        path.write_text(kept)
