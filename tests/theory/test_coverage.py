import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control, kstest, norm
from tests.theory.naming import benjamini_hochberg, named_missed
from tests.tolerances import IDENTITY, SINGLE, assert_identity, assert_sampling, assert_single

from theodolite.theory.coverage import (
    certified_missed_mass,
    clopper_pearson_lower,
    clopper_pearson_upper,
    conformal_p_values,
    coverage,
    fewest_counted_on,
    fidelity,
    missed_mass,
    needed_fakes,
    needed_reals,
    overlap,
    shared_count,
    smallest_nameable_mass,
    total_variation,
)

GRID = np.linspace(-12, 14, 20001)
CELL = np.full(GRID.size, GRID[1] - GRID[0])


def test_total_variation_of_two_normals_has_its_closed_form():
    for shift in (0.1, 1.0, 3.0):
        closed = 2 * norm.cdf(shift / 2) - 1
        p, q = norm.logpdf(GRID, shift), norm.logpdf(GRID)
        assert total_variation(p, q, CELL) == pytest.approx(closed, rel=SINGLE)
        assert overlap(p, q, CELL) == pytest.approx(1 - closed, rel=SINGLE)


def test_missed_mass_of_a_dropped_mode_is_its_weight():
    log_fake = norm.logpdf(GRID, -4)
    log_real = np.logaddexp(np.log(0.93) + log_fake, np.log(0.07) + norm.logpdf(GRID, 8))
    assert missed_mass(log_real, log_fake, CELL, 0.1) == pytest.approx(0.07, rel=SINGLE)
    assert coverage(log_real, log_fake, CELL, 0.1) == pytest.approx(0.93, rel=SINGLE)
    assert fidelity(log_real, log_fake, CELL, 0.1) == pytest.approx(1, rel=SINGLE)
    assert fidelity(log_fake, log_real, CELL, 0.1) == pytest.approx(0.93, rel=SINGLE)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1))
def test_relations_between_the_quantities(seed, tau):
    p, q = np.log(np.random.default_rng(seed).dirichlet(np.full(9, 0.5), 2) + 1e-12)
    w = np.ones(9)
    lost, distance = missed_mass(p, q, w, tau), total_variation(p, q, w)
    assert (1 - tau) * lost <= distance + SINGLE  # where p_θ ≤ τ·p_r, p_r − p_θ ≥ (1 − τ)·p_r
    assert missed_mass(p, q, w, tau / 2) <= lost
    assert overlap(p, q, w) + distance == pytest.approx(1, abs=SINGLE)
    # overlap is an expectation over reals: E_r min(1, p_θ/p_r)
    assert_identity(np.sum(np.exp(p) * np.minimum(1, np.exp(q - p))), overlap(p, q, w))


@given(st.integers(1, 400), st.data(), st.floats(0.5, 0.999))
def test_clopper_pearson_agrees_with_scipy(n, data, confidence):
    k = data.draw(st.integers(0, n))
    interval = binomtest(k, n).proportion_ci(2 * confidence - 1, method="exact")
    assert_single(clopper_pearson_lower(k, n, confidence), interval.low)
    assert_single(clopper_pearson_upper(k, n, confidence), interval.high)


def test_clopper_pearson_misses_no_more_often_than_it_says():
    for n, truth in ((30, 0.02), (200, 0.1), (50, 0.5)):
        k = np.arange(n + 1)
        wrong = clopper_pearson_lower(k, n, 0.95) > truth
        from_binomial = [math.comb(n, i) * truth**i * (1 - truth) ** (n - i) for i in k[wrong]]
        assert sum(from_binomial) <= 0.05


def test_certificate_exceeds_the_truth_no_more_often_than_it_says():
    """Reals hold A with probability .08, fakes with .004: M_τ ≥ .08 − .004/.1 = .04, here with equality."""
    rng = np.random.default_rng(0)
    reals, fakes = rng.binomial(600, 0.08, 4000), rng.binomial(3000, 0.004, 4000)
    bounds = np.array([certified_missed_mass(k, 600, j, 3000, 0.1, 0.9) for k, j in zip(reals, fakes, strict=True)])
    assert np.mean(bounds > 0.04) <= 0.1
    assert bounds.max() > 0  # and it is not empty


def test_certificate_is_the_two_bounds_put_together():
    low = binomtest(50, 500).proportion_ci(0.95, method="exact").low
    high = binomtest(3, 4000).proportion_ci(0.95, method="exact").high
    assert certified_missed_mass(50, 500, 3, 4000, 0.1, 0.95) == pytest.approx(low - high / 0.1, rel=SINGLE)
    assert certified_missed_mass(0, 500, 3000, 4000, 0.1, 0.95) == 0


@given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.integers(0, 6))
def test_conformal_p_value_counts(fakes, score):
    expected = (1 + sum(fake >= score for fake in fakes)) / (len(fakes) + 1)
    assert_identity(conformal_p_values(fakes, [score])[0], expected)


def test_conformal_p_values_of_generated_samples_are_uniform():
    rng = np.random.default_rng(3)
    p = np.array([conformal_p_values(s[1:], s[:1])[0] for s in rng.normal(size=(4000, 200))])
    assert_sampling(p <= 0.1, 20 / 201)  # p is one of 1/201, 2/201, …, each as probable
    assert kstest(p - rng.random(p.size) / 201, "uniform").pvalue > 0.001


def _slow_benjamini_hochberg(p, level):
    """The step-up rule, word by word."""
    largest = 0
    for k in range(1, len(p) + 1):
        if sorted(p)[k - 1] <= level * k / len(p):
            largest = k
    return [sum(other < value for other in p) < largest and value <= level * largest / len(p) for value in p]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=25), st.floats(0.01, 0.6))
def test_benjamini_hochberg_agrees_with_a_slow_one_and_with_scipy(numbers, level):
    p = np.array(numbers) / 50
    adjusted = false_discovery_control(p)
    if np.all(np.abs(adjusted - level) > IDENTITY):  # on the border rounding decides
        found = benjamini_hochberg(p, level)
        assert found.tolist() == (adjusted <= level).tolist()
        assert found.tolist() == _slow_benjamini_hochberg(p.tolist(), level)


def test_named_missed_divides_by_tau():
    p = np.array([0.001, 0.002, 0.02, 0.5, 0.9])
    assert named_missed(p, 1.0, 0.1).tolist() == [True, True, True, False, False]
    assert named_missed(p, 0.1, 0.1).tolist() == [True, True, False, False, False]
    assert not named_missed(np.ones(4), 0.1, 0.9).any()


def test_division_by_tau_is_what_keeps_reweighted_modes_from_being_named():
    """A mode the generator makes five times too rarely is covered at more than τ = .1: naming it is false."""
    rng = np.random.default_rng(4)
    proportions = {True: [], False: []}
    for _ in range(60):
        covered = rng.random(400) < 0.95
        real = np.where(covered, rng.normal(0, 1, 400), rng.normal(6, 1, 400))  # 5% in the rare mode …
        made = rng.random(4000) < 0.99  # … of which 1% is made
        fake = np.where(made, rng.normal(0, 1, 4000), rng.normal(6, 1, 4000))
        p = conformal_p_values(fake, real)
        for divided in proportions:
            named = named_missed(p, 0.1 if divided else 1.0, 0.1)
            proportions[divided].append(named.any())  # whatever is named is named falsely
    assert np.mean(proportions[True]) <= 0.1
    assert np.mean(proportions[False]) > 0.1


def test_nothing_below_the_smallest_nameable_mass_is_named_by_a_perfect_score():
    for m, tau, level in ((999, 0.1, 0.1), (4000, 0.2, 0.05)):
        smallest = smallest_nameable_mass(m, tau, level)
        fakes = np.arange(m, dtype=float)
        for reals in (400, 777):
            for planted, expected in ((math.ceil(smallest * reals), True), (math.ceil(smallest * reals) - 1, False)):
                scores = np.r_[np.full(planted, 1e9), np.zeros(reals - planted)]
                assert named_missed(conformal_p_values(fakes, scores), tau, level)[:planted].all() == expected
    assert smallest_nameable_mass(50, 0.1, 0.05) == math.inf


def test_needed_fakes_suffice():
    for mass in (0.005, 0.02):
        assert smallest_nameable_mass(needed_fakes(mass, 0.1, 0.05), 0.1, 0.05) < mass


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([0.01, 0.03, 0.2]), st.sampled_from([0.1, 0.5]))
def test_needed_reals_are_where_the_certificate_begins(mass, tau):
    n = needed_reals(mass, 20000, tau, 0.95)
    assert certified_missed_mass(math.floor(n * mass), n, 0, 20000, tau, 0.95) > 0
    assert certified_missed_mass(math.floor((n - 1) * mass), n - 1, 0, 20000, tau, 0.95) == 0


def test_needed_reals_says_when_no_number_suffices():
    assert needed_reals(0.005, 100, 0.1, 0.95) is None


@given(st.floats(0.01, 500))
def test_the_fewest_that_are_counted_on_are_enough_and_one_less_is_not(needed):
    fewest = int(fewest_counted_on(needed))
    assert shared_count(fewest) >= needed - 1e-6
    assert shared_count(fewest - 1) < needed
    assert fewest / 2 <= shared_count(fewest) <= 0.6 * fewest
