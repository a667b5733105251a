"""The set that is missed, of generators whose fault is known."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import binom
from tests.tolerances import FOUR_STANDARD_ERRORS

from theodolite.coverage.discriminator import fit_score
from theodolite.gan.shortfall import find_shortfall, in_blocks, mendable
from theodolite.theory.boosting import made_at_least, made_at_most


def sample(count, seed, shares=(0.7, 0.3)):
    rng = np.random.default_rng(seed)
    where = np.array([[0.0, 0], [6, 0]])[rng.choice(2, count, p=shares)]
    return where + rng.normal(size=(count, 2))


def found(real, fake, tau=0.1):
    return find_shortfall(real, fake, fit_score(real, fake), tau)


def test_a_lost_mode_is_the_set_and_has_no_ratio():
    real = sample(500, 0)
    lacking = found(real, sample(1000, 1, (1.0, 0.0)))
    lost = real[:, 0] > 3
    inside = lacking.of_train >= lacking.threshold
    assert (inside == lost).mean() > 0.98
    assert abs(lacking.real - lost.mean()) < 0.02
    ratio = lacking.ratio(lacking.of_train)
    assert ratio[lost].mean() < 0.05
    # the other mode gets all of the samples instead of 70%
    assert 1.2 < np.median(ratio[~lost]) < 1.7
    np.testing.assert_array_equal(lacking.inside(real[:50]), lost[:50])


def test_a_fault_of_detail_does_not_hide_the_lost_mode():
    """Generated samples are rounded: a discriminator tells every one of them, and blurred densities none."""
    real = sample(500, 0)
    lacking = found(real, np.round(sample(1000, 1, (1.0, 0.0)) * 2) / 2)
    assert lacking.seen_by.startswith("densities blurred by")
    inside = lacking.of_train >= lacking.threshold
    assert (inside == (real[:, 0] > 3)).mean() > 0.95


def test_where_nothing_is_missed_little_is_found():
    lacking = found(sample(500, 0), sample(1000, 1))
    assert lacking.real < 0.05


def test_scores_in_blocks_are_scores():
    x = sample(30, 2)
    np.testing.assert_array_equal(in_blocks(lambda rows: rows[:, 0], x), x[:, 0])
    assert in_blocks(lambda rows: rows[:, 0], x[:0]).size == 0


def test_mass_and_make_decide_together():
    assert mendable(0.1, 0.1) == 0.1
    assert mendable(0.1, 0.13) > mendable(0.2, 0.65) > 0
    # all is missed at every width: the larger mass
    assert mendable(1.0, 1.0) > mendable(0.9, 1.0)
    assert mendable(-0.2, 0.1) < mendable(0.0, 0.1) < mendable(0.01, 0.9)


@dataclass
class Across:
    """A score that needs no fit: how far to the right a sample lies."""

    out_of_fold_real: np.ndarray
    out_of_fold_fake: np.ndarray

    def log_odds(self, samples):
        return samples[:, 0]


@pytest.mark.slow
def test_bounds_on_a_set_found_from_samples_err_as_seldom_as_they_claim():
    """The set is another one each time; how much of it is made is counted from very many samples."""
    confidence, wrong, tries = 0.9, np.zeros(2), 150
    shares = (0.95, 0.05)  # of the generator
    many = sample(20_000, 98), sample(20_000, 99, shares)
    for seed in range(tries):
        real, fake = sample(100, 1000 + seed), sample(200, 2000 + seed, shares)
        lacking = find_shortfall(real, fake, Across(real[:, 0], fake[:, 0]), tau=0.5)
        truth = lacking.inside(many[1]).mean() / lacking.inside(many[0]).mean()
        a = int(lacking.inside(sample(200, 3000 + seed)).sum())
        b = int(lacking.inside(sample(2000, 4000 + seed, shares)).sum())
        wrong += made_at_most(a, 200, b, 2000, confidence) < truth, made_at_least(a, 200, b, 2000, confidence) > truth
    assert (binom.sf(wrong - 1, tries, 1 - confidence) > FOUR_STANDARD_ERRORS).all()
