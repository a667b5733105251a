import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from tests.tolerances import IDENTITY, SINGLE, assert_identity, assert_sampling, assert_single

from theodolite.theory.density_ratio import (
    at_even_odds,
    discriminator_of_ratio,
    discriminator_threshold,
    game_value,
    game_value_of,
    is_missed,
    is_missed_by_discriminator,
    likelihood_ratio,
    likelihood_ratio_test,
    optimal_discriminator,
)

logs = st.floats(-30, 30)
counts = st.integers(1, 10**6)
GRID = np.linspace(-12, 14, 8001)
CELL = np.full(GRID.size, GRID[1] - GRID[0])


@given(logs, logs)
def test_discriminator_is_the_real_share_of_both_densities(log_real, log_fake):
    p_r, p_f = math.exp(log_real), math.exp(log_fake)
    assert_identity(optimal_discriminator(log_real, log_fake), p_r / (p_r + p_f))


@given(st.floats(1e-6, 1 - 1e-6), counts, counts)
def test_ratio_and_discriminator_are_inverse_at_any_odds(d, n, m):
    ratio = likelihood_ratio(d, n / m)
    assert_single(discriminator_of_ratio(ratio, n / m), d)
    # the same ratio read at even odds
    assert_single(at_even_odds(d, n, m), 1 / (1 + ratio))


@given(st.floats(0.01, 0.99), counts, counts)
def test_odds_are_those_of_bayes(share, n, m):
    """Where a share of the density is real, a classifier of n reals and m fakes sees n·share beside m·(1 − share)."""
    seen = n * share / (n * share + m * (1 - share))
    assert_single(at_even_odds(seen, n, m), share)


@given(logs, logs, st.floats(0.001, 1))
def test_missed_is_the_same_from_densities_and_from_the_discriminator(log_real, log_fake, tau):
    if abs(log_fake - log_real - math.log(tau)) > IDENTITY:  # not on the border itself, where rounding decides
        by_density = bool(is_missed(log_real, log_fake, tau))
        assert by_density == (math.exp(log_fake) <= tau * math.exp(log_real))
        assert by_density == bool(is_missed_by_discriminator(optimal_discriminator(log_real, log_fake), tau))


def test_limits():
    assert_identity(discriminator_threshold(0), 1.0)
    assert_identity(discriminator_threshold(1), 0.5)
    assert_identity(likelihood_ratio(0.5), 1.0)
    assert likelihood_ratio(0.0) == math.inf
    assert_identity(optimal_discriminator([-np.inf, 0, -np.inf], [0, -np.inf, -np.inf]), [0, 1, 0.5])
    # the strict region of the question: τ = 0 asks for p_θ = 0 where p_r > 0
    assert is_missed([0.0, 0.0, -np.inf], [-np.inf, -700.0, -np.inf], 0).tolist() == [True, False, False]


def test_likelihood_ratio_test_of_two_normals_has_its_closed_form():
    """N(2, 1) against N(0, 1): p_θ/p_r ≤ t is x ≥ 1 − log(t)/2."""
    log_real, log_fake = norm.logpdf(GRID, 2), norm.logpdf(GRID, 0)
    for t in (0.1, 0.5, 1.0, 3.0):
        border = 1 - math.log(t) / 2
        found = likelihood_ratio_test(log_real, log_fake, CELL, t)
        # the border falls inside one cell
        assert abs(found.size - norm.sf(border, 0)) <= CELL[0] * norm.pdf(border, 0)
        assert abs(found.power - norm.sf(border, 2)) <= CELL[0] * norm.pdf(border, 2)


def test_no_test_of_the_same_size_has_more_power():
    rng = np.random.default_rng(0)
    log_real, log_fake = np.log(rng.dirichlet(np.ones(12))), np.log(rng.dirichlet(np.ones(12)))
    best = likelihood_ratio_test(log_real, log_fake, np.ones(12), 0.8)
    for region in range(2**12):
        chosen = np.array([region >> bit & 1 for bit in range(12)], dtype=bool)
        if np.exp(log_fake)[chosen].sum() <= best.size:
            assert np.exp(log_real)[chosen].sum() <= best.power + IDENTITY


def test_game_value_is_twice_jensen_shannon_less_log_four():
    rng = np.random.default_rng(1)
    p, q = rng.dirichlet(np.ones(20)), rng.dirichlet(np.ones(20))
    middle = (p + q) / 2
    divergence = 0.5 * sum(a * math.log(a / c) + b * math.log(b / c) for a, b, c in zip(p, q, middle, strict=True))
    assert_identity(game_value(np.log(p), np.log(q), np.ones(20)), 2 * divergence - math.log(4))


def test_game_value_between_equal_and_disjoint():
    p = np.log(np.full(4, 0.25))
    assert_identity(game_value(p, p, np.ones(4)), -math.log(4))
    left, right = np.log([0.5, 0.5, 1e-300, 1e-300]), np.log([1e-300, 1e-300, 0.5, 0.5])
    assert_identity(game_value(left, right, np.ones(4)), 0.0)
    nowhere = np.array([0.0, -np.inf])
    assert_identity(game_value(nowhere, nowhere[::-1], np.ones(2)), 0.0)


def test_game_value_by_sampling_agrees_with_quadrature():
    rng = np.random.default_rng(2)
    real, fake = rng.normal(2, 1, 20000), rng.normal(0, 1, 20000)
    on_real, on_fake = (optimal_discriminator(norm.logpdf(x, 2), norm.logpdf(x, 0)) for x in (real, fake))
    expected = game_value(norm.logpdf(GRID, 2), norm.logpdf(GRID, 0), CELL)
    assert_sampling(np.log(on_real) + np.log1p(-on_fake), expected)
    assert abs(game_value_of(on_real, on_fake) - np.mean(np.log(on_real) + np.log1p(-on_fake))) < SINGLE
    # any other discriminator has less of it
    assert game_value_of(on_real**2, on_fake**2) < game_value_of(on_real, on_fake)


def test_both_means_of_the_optimal_discriminator_sum_to_one():
    log_real, log_fake = norm.logpdf(GRID, 2, 0.7), norm.logpdf(GRID, 0)
    d = optimal_discriminator(log_real, log_fake)
    total = np.sum(CELL * (np.exp(log_real) + np.exp(log_fake)) * d)
    assert total == pytest.approx(1, rel=SINGLE)
