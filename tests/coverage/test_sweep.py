"""Every τ at once, and the curve of precision and recall: certificates hold for all of a run together."""

import numpy as np
from scipy.stats import norm
from tests.coverage.test_groups import near_dropped
from tests.tolerances import FOUR_STANDARD_ERRORS, assert_identity

from theodolite.coverage.certificates import certify
from theodolite.coverage.curves import SLOPES, upper_curve
from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.missed import name_missed
from theodolite.coverage.sweep import CHOSEN_FOR, GRID, sweep
from theodolite.theory.coverage import clopper_pearson_lower, missed_mass

HALVES = (np.arange(200), np.arange(200, 400))
X = np.linspace(-9, 12, 4001)
CELL = np.full(X.size, X[1] - X[0])
SHIFT = 2.0


def shifted(seed, noise=0.0):
    """Reals N(2, 1), fakes N(0, 1), scored by the true ratio or by it and noise."""
    rng = np.random.default_rng([seed, 5])

    def score(x):
        return SHIFT * (x - SHIFT / 2) + noise * rng.normal(size=x.size)

    return tuple(
        HeldOut(
            real=score(rng.normal(SHIFT, 1, 200)),
            fake=score(rng.normal(0, 1, 1500)),
            training_real=score(rng.normal(SHIFT, 1, 200)),
            training_fake=score(rng.normal(0, 1, 400)),
        )
        for _ in range(2)
    )


def truth(tau):
    return missed_mass(norm.logpdf(X, SHIFT), norm.logpdf(X, 0), CELL, tau)


def test_no_bound_of_a_run_exceeds_the_truth_at_any_tau():
    runs, exceeded = 60, 0
    of_tau = {tau: truth(tau) for tau in GRID}
    for seed in range(runs):
        over = sweep(shifted(seed, noise=seed % 3), HALVES, 0.1, 0.1, 0.9)
        exceeded += any(low > of_tau[tau] for tau, low in zip(over.tau.tolist(), over.lower, strict=True))
    assert clopper_pearson_lower(exceeded, runs, 1 - FOUR_STANDARD_ERRORS) <= 0.1


def test_the_grid_holds_what_was_asked_for_and_its_numbers_are_those_of_the_audit():
    fits = shifted(1)
    over = sweep(fits, HALVES, 0.123, 0.1, 0.95)
    place = over.tau.tolist().index(0.123)
    assert over.tau.size == len(GRID) + 1
    assert over.named[place] == name_missed(fits, HALVES, 0.123, 0.1)[0].sum()
    alone = certify(fits, 0.123, 0.95)
    assert_identity(over.estimate[place], alone.estimate)
    # more is claimed at once, so each claim is weaker
    assert over.lower[place] <= alone.lower
    assert (np.diff(over.lower) >= 0).all()
    assert set(CHOSEN_FOR) <= set(GRID)


def test_nothing_is_claimed_where_the_score_is_blind():
    rng = np.random.default_rng(0)
    fits = tuple(HeldOut(*(rng.normal(size=size) for size in (200, 900, 200, 300))) for _ in range(2))
    over = sweep(fits, HALVES, 0.1, 0.1, 0.95)
    assert over.lower.max() < 0.05
    assert over.named.max() == 0


def test_the_estimated_curve_lies_below_the_certified_one():
    for fits in (shifted(2), shifted(3, noise=5.0)):
        curve = upper_curve(fits, 0.95)
        assert (curve.precision_estimate <= curve.precision).all()
        assert_identity(curve.recall_estimate * SLOPES, curve.precision_estimate)


def test_a_score_of_two_modes_is_high_in_them():
    assert near_dropped(np.array([[9.0, 0.0]]))[0] > near_dropped(np.array([[0.0, 0.0]]))[0]
