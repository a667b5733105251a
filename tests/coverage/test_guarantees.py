"""What holds whatever the classifier is: tried with scores that are perfect, blind and misleading."""

import math

import numpy as np
import pytest
from scipy.stats import norm
from tests.tolerances import assert_sampling

from theodolite.coverage import heldout
from theodolite.coverage.certificates import certify, choose_threshold
from theodolite.coverage.curves import SLOPES, upper_curve
from theodolite.coverage.folds import Folds
from theodolite.coverage.heldout import HeldOut, auc, game_value
from theodolite.coverage.missed import name_missed
from theodolite.theory.coverage import total_variation

TAU, ALPHA = 0.1, 0.2
RUNS = 120
HALVES = (np.arange(250), np.arange(250, 500))
MISSING = 0.08  # of the data in a mode that is not generated …
RARE = 0.12  # … and in one that is generated at a quarter of its share: covered

SCORES = {
    "perfect": lambda x, _: -np.abs(x - 8),
    "noisy": lambda x, rng: -np.abs(x - 8) + rng.normal(0, 2, x.size),
    "blind": lambda x, rng: rng.normal(size=x.size),
    "misleading": lambda x, _: -np.abs(x + 8),
    "constant": lambda x, _: np.zeros(x.size),
}


def _draw(rng, n, missing, rare):
    kind = rng.random(n)
    centre = np.where(kind < missing, 8.0, np.where(kind < missing + rare, -8.0, 0.0))
    return centre + rng.normal(size=n), kind < missing


def _held_out(score, rng, fakes=3000):
    real, missing = _draw(rng, 500, MISSING, RARE)
    train_real, train_fake = _draw(rng, 250, MISSING, RARE)[0], _draw(rng, 500, 0, RARE / 4)[0]
    fake = _draw(rng, fakes, 0, RARE / 4)[0]
    fits = tuple(
        HeldOut(score(real[half], rng), score(fake, rng), score(train_real, rng), score(train_fake, rng))
        for half in HALVES
    )
    return fits, missing


@pytest.fixture(scope="module", params=SCORES)
def runs(request):
    """Many audits of one generator with one score."""
    rng = np.random.default_rng(0)
    return request.param, [_held_out(SCORES[request.param], rng) for _ in range(RUNS)]


def test_false_discovery_rate_is_held_and_a_good_score_has_power(runs):
    score, audits = runs
    proportions, powers = [], []
    for fits, missing in audits:
        named, p_values = name_missed(fits, HALVES, TAU, ALPHA)
        proportions.append((named & ~missing).sum() / max(named.sum(), 1))
        powers.append((named & missing).sum() / missing.sum())
        assert ((p_values > 0) & (p_values <= 1)).all()
    error = np.std(proportions) / math.sqrt(RUNS)
    assert np.mean(proportions) <= ALPHA + 4 * error
    if score == "perfect":
        assert np.mean(powers) > 0.8


def test_certificates_do_not_exceed_the_truth(runs):
    score, audits = runs
    bounds = [certify(fits, TAU, 0.95) for fits, _ in audits]
    assert np.mean([bound.lower > MISSING for bound in bounds]) <= 0.05
    assert all(0 <= bound.lower <= bound.estimate <= 1 for bound in bounds)
    # TV: the missing mode, and three quarters of the rare one
    truth = MISSING + 0.75 * RARE
    assert np.mean([certify(fits, 1.0, 0.95).lower > truth for fits, _ in audits]) <= 0.05
    if score == "perfect":
        assert np.mean([bound.lower for bound in bounds]) > MISSING / 4
        assert np.mean([bound.estimate for bound in bounds]) <= MISSING


@pytest.mark.parametrize("exchanged", [False, True])
def test_an_estimate_scatters_as_its_uncertainty_says(exchanged):
    """Both fits score the same fakes, whose errors therefore do not average out."""
    rng = np.random.default_rng(8)
    training = rng.normal(2, 1, 400), rng.normal(0, 1, 400)
    drawn = []
    for _ in range(400):
        fake = rng.normal(0, 1, 300)
        fits = tuple(HeldOut(rng.normal(2, 1, 200), fake, *training) for _ in "ab")
        drawn.append(certify(tuple(fit.mirrored() for fit in fits) if exchanged else fits, 0.5, 0.95))
    scatter = np.std([bound.estimate for bound in drawn], ddof=1)
    stated = np.mean([bound.uncertainty for bound in drawn]) / 1.96
    # a standard deviation of 400 draws is known to 1/√800 of itself
    assert abs(stated / scatter - 1) <= 4 / math.sqrt(800)


def test_a_set_that_was_never_hit_is_not_known_to_be_empty():
    fits = tuple(HeldOut(np.zeros(50), -np.ones(60), np.zeros(50), -np.ones(60)) for _ in "ab")
    found = certify(fits, TAU, 0.95)
    assert found.estimate == 1
    assert found.uncertainty > 1 / 60 / TAU


def test_a_score_that_depends_on_the_place_alone_names_nothing(monkeypatch):
    """Rounding makes the last bits of every score such a one; equal samples must then still be exchangeable."""

    class Place:
        out_of_fold_real = out_of_fold_fake = np.zeros(3)

        def log_odds(self, samples):
            return -np.arange(len(samples), dtype=float)

    monkeypatch.setattr(heldout, "fit_score", lambda *_, **__: Place())
    p_values = []
    for seed in range(20):
        folds = Folds.draw(100, 900, seed)
        fits = heldout.fit_both(np.zeros((100, 1)), np.zeros((900, 1)), folds, None, seed)
        named, p = name_missed(fits, folds.reals, TAU, ALPHA)
        assert not named.any()
        p_values.append(p.mean())
    assert_sampling(p_values, 0.5)


def test_a_discriminator_that_is_sure_has_a_finite_value():
    fits = tuple(HeldOut(np.full(5, 800.0), np.full(5, 50.0), np.zeros(2), np.zeros(2)) for _ in "ab")
    assert game_value(fits) == (-50.0, 0.0)


def test_what_is_invented_is_certified_with_the_roles_exchanged():
    rng = np.random.default_rng(1)
    real, fake = rng.normal(0, 1, 1000), np.r_[rng.normal(0, 1, 2700), rng.normal(9, 1, 300)]
    fit = HeldOut(-real, -rng.permutation(fake), -rng.normal(0, 1, 500), -rng.permutation(fake)[:500])
    assert certify((fit, fit), TAU, 0.95).lower == 0
    invented = certify((fit.mirrored(), fit.mirrored()), TAU, 0.95)
    assert 0 < invented.lower < 0.1
    assert abs(invented.estimate - 0.1) < invented.uncertainty


def test_the_upper_curve_lies_above_the_true_one():
    grid = np.linspace(-10, 14, 4001)
    cell = np.full(grid.size, grid[1] - grid[0])
    p, q = (norm.pdf(grid, 2), norm.pdf(grid, 0))
    truth = np.array([np.sum(cell * np.minimum(slope * p, q)) for slope in SLOPES])
    rng = np.random.default_rng(2)
    below = 0
    for _ in range(60):
        fits = tuple(
            HeldOut(*(rng.normal(centre, 1, n) for centre, n in ((2, 300), (0, 3000), (2, 300), (0, 300))))
            for _ in "ab"
        )
        curve = upper_curve(fits, 0.95)
        below += bool((curve.precision < truth).any())
        assert curve.precision.mean() < np.minimum(1, SLOPES).mean()  # it says more than nothing
        np.testing.assert_allclose(curve.recall * SLOPES, curve.precision)
    assert below / 60 <= 0.05 + 4 * math.sqrt(0.05 / 60)
    # at λ = 1 the curve bounds the overlap
    assert truth[np.argmin(np.abs(SLOPES - 1))] == pytest.approx(
        1 - total_variation(np.log(p), np.log(q), cell), rel=0.01
    )


def test_thresholds_are_chosen_from_training_scores_alone():
    rng = np.random.default_rng(3)
    training = rng.normal(1, 1, 200), rng.normal(0, 1, 200)
    first = HeldOut(rng.normal(size=10), rng.normal(size=10), *training)
    other = HeldOut(rng.normal(size=99) * 9, rng.normal(size=99) * 9, *training)
    assert choose_threshold(first, TAU) == choose_threshold(other, TAU)


@pytest.mark.parametrize("missed", [3, 10, 19, 40, 500])
def test_the_chosen_set_is_what_is_missed_however_rare(missed):
    """Of a thousand and more candidates hardly any but this one."""
    real, fake = np.linspace(0, 1, 3000), np.linspace(0, 1, 20_000)
    real[-missed:] += 5
    fit = HeldOut(np.zeros(0), np.zeros(0), real, fake)
    assert abs(int((real >= choose_threshold(fit, 0.5)).sum()) - missed) <= 0.05 * missed


def test_ranks_and_value_of_held_out_scores():
    rng = np.random.default_rng(4)
    fits = tuple(HeldOut(*(rng.normal(size=n) for n in (200, 300, 5, 5))) for _ in "ab")
    pairs = [np.mean([r > f for r in fit.real for f in fit.fake]) for fit in fits]
    assert auc(fits) == pytest.approx(np.mean(pairs))
    assert auc(tuple(fit.mirrored() for fit in fits)) == pytest.approx(np.mean(pairs))
    blind = tuple(HeldOut(*(np.zeros(n) for n in (20, 30, 5, 5))) for _ in "ab")
    assert game_value(blind) == pytest.approx((-math.log(4), 0))
