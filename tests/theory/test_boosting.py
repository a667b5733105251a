"""The weights of AdaGAN against brute force, the share of a component, and bounds whose error rate is counted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize
from scipy.stats import binom
from tests.tolerances import FOUR_STANDARD_ERRORS, assert_identity

from theodolite.theory.boosting import (
    boosting_weights,
    likeliest_share,
    likeliest_share_kept,
    made_at_least,
    made_at_most,
    share_due,
)

RATIOS = st.lists(st.floats(0, 50), min_size=1, max_size=40)
SHARES = st.floats(0.01, 1.0)


@given(RATIOS, SHARES)
def test_weights_solve_their_equation(ratios, share):
    ratio = np.array(ratios)
    found = boosting_weights(ratio, share)

    def lacking(level):
        return np.maximum(level - (1 - share) * ratio, 0).mean() - share

    # an equation in one unknown, solved by bisection
    level = brentq(lacking, 0.0, 60.0, xtol=1e-14)
    expected = np.maximum(level - (1 - share) * ratio, 0)
    assert_identity(found, expected / expected.sum())


@given(RATIOS, SHARES)
def test_weights_are_probabilities_and_fall_with_what_is_made(ratios, share):
    weights = boosting_weights(ratios, share)
    assert_identity(weights.sum(), 1.0)
    assert (weights >= 0).all()
    assert (np.diff(weights[np.argsort(ratios)]) <= 0).all()


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.8))
def test_no_other_component_brings_the_mixture_closer(seed, share):
    """On atoms the f-divergence is a sum; a general optimiser finds no better q."""
    rng = np.random.default_rng(seed)
    fake = rng.dirichlet(np.full(6, 0.5))
    real = np.full(6, 1 / 6)
    q = boosting_weights(fake / real, share)

    def squared_distance(logits):
        other = np.exp(logits - logits.max())
        return ((((1 - share) * fake + share * other / other.sum()) - real) ** 2 / real).sum()

    best = min(minimize(squared_distance, rng.normal(size=6), method="BFGS").fun for _ in range(3))
    ours = (((1 - share) * fake + share * q - real) ** 2 / real).sum()
    assert ours <= best * (1 + 1e-10) + 1e-10


def test_where_nothing_is_made_all_counts_alike():
    assert_identity(boosting_weights(np.zeros(5), 0.3), np.full(5, 0.2))
    assert_identity(boosting_weights([7.0, 0.0, 3.0], 1.0), np.full(3, 1 / 3))


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_share_gives_the_set_its_due_where_it_can(real, generated, component):
    share = share_due(real, generated, component)
    assert 0 <= share <= 1
    given_to_the_set = (1 - share) * generated + share * component
    if generated >= real:
        assert share == 0
    elif component >= real:
        assert_identity(given_to_the_set, real)
    else:
        assert share == 1


@pytest.mark.parametrize(("real", "made"), [(0.1, 0.03), (0.5, 0.5), (0.9, 1.0)])
def test_bounds_err_as_seldom_as_they_claim(real, made):
    rng = np.random.default_rng(7)
    n, m, rounds, confidence = 200, 500, 2000, 0.9
    of_real, of_fake = rng.binomial(n, real, rounds), rng.binomial(m, real * made, rounds)
    low = [made_at_least(a, n, b, m, confidence) for a, b in zip(of_real, of_fake, strict=True)]
    high = [made_at_most(a, n, b, m, confidence) for a, b in zip(of_real, of_fake, strict=True)]
    for wrong in (sum(bound > made for bound in low), sum(bound < made for bound in high)):
        assert binom.sf(wrong - 1, rounds, 1 - confidence) > FOUR_STANDARD_ERRORS / 2


def test_a_set_that_no_real_sample_hits_bounds_nothing():
    assert made_at_most(0, 100, 5, 100, 0.95) == float("inf")
    assert made_at_least(0, 100, 0, 100, 0.95) == 0.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_likeliest_share_is_found_by_a_search_too(seed):
    rng = np.random.default_rng(seed)
    ratio, further = rng.gamma(0.5, size=(2, 50))
    found = likeliest_share(ratio, further)
    grid = np.linspace(0, 1, 1001)[1:-1]
    likelihood = np.log(np.outer(1 - grid, ratio) + np.outer(grid, further)).mean(axis=1)
    assert abs(found - grid[likelihood.argmax()]) <= 0.001 + 1e-9
    # the same factor on both changes nothing
    factor = rng.gamma(2.0, size=50)
    assert_identity(likeliest_share(factor * ratio, factor * further), found)


def test_the_likeliest_share_is_the_one_that_was_mixed():
    """Atoms: p_r = (1 − β)·p + β·q exactly, so that no other share is as close."""
    rng = np.random.default_rng(3)
    p, q = rng.dirichlet(np.full(20, 0.5), 2)
    for share in (0.05, 0.5, 0.9):
        real = (1 - share) * p + share * q
        counts = np.rint(2e5 * real).astype(int)
        found = likeliest_share(np.repeat(p / real, counts), np.repeat(q / real, counts))
        assert abs(found - share) < 1e-3


def test_where_one_of_both_makes_nothing_the_other_is_all():
    assert likeliest_share(np.zeros(5), np.ones(5)) > 1 - 1e-9
    assert likeliest_share(np.ones(5), np.zeros(5)) < 1e-9


def test_what_rejection_takes_away_does_not_count():
    """Each makes its part of the data as it must, and much beside them: of all candidates, what is kept has its due."""
    rng = np.random.default_rng(4)
    real, kept = rng.dirichlet(np.full(20, 0.7)), np.array([0.3, 0.9])
    inside = np.arange(20) < 8
    parts = [np.where(side, real, 0) / real[side].sum() for side in (inside, ~inside)]
    counts = np.rint(1e6 * real).astype(int)
    on_reals = [np.repeat(mass * part / real, counts) for mass, part in zip(kept, parts, strict=True)]
    share = likeliest_share_kept(*on_reals)
    mixed = (1 - share) * kept[0] * parts[0] + share * kept[1] * parts[1]
    assert np.abs(mixed / mixed.sum() - real).max() < 1e-4
    # without rejection the one that makes more of the data is favoured
    assert likeliest_share(*on_reals) > share


def test_of_one_that_makes_nothing_of_the_data_nothing_is_taken():
    assert likeliest_share_kept(np.zeros(5), np.ones(5)) == 1
    assert likeliest_share_kept(np.ones(5), np.zeros(5)) == 0
