"""The rate of false alarms is kept by simulation, for any scores; the threshold and the p-value say the same."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tolerances import assert_sampling

from theodolite.theory.conformal import conformal_p_values, conformal_threshold, fewest_scores


@pytest.mark.parametrize("draw", ["standard_cauchy", "standard_normal", "random"])
@pytest.mark.parametrize(("count", "rate"), [(99, 0.01), (37, 0.1), (19, 0.3)])
def test_false_alarms_come_at_the_exact_rate_whatever_the_law(draw, count, rate):
    """Without ties, the new score exceeds the k-th of n with probability 1 − k/(n + 1)."""
    random = np.random.default_rng(0)
    scores = getattr(random, draw)((20_000, count + 1))
    alarms = [row[-1] > conformal_threshold(row[:-1], rate) for row in scores]
    rank = math.ceil((count + 1) * (1 - Fraction(str(rate))))
    assert Fraction(count + 1 - rank, count + 1) <= Fraction(str(rate))
    assert_sampling(alarms, 1 - rank / (count + 1))


def test_ties_only_lower_the_rate():
    random = np.random.default_rng(0)
    scores = random.integers(0, 4, (20_000, 20))
    alarms = np.array([row[-1] > conformal_threshold(row[:-1], 0.3) for row in scores])
    assert alarms.mean() < 0.3


def test_units_that_are_not_exchangeable_break_it():
    """Frames of one clip resemble each other: counted one by one, they promise what does not hold for clips."""
    random = np.random.default_rng(0)
    clips = random.standard_normal((4_000, 21, 1)) + 0.1 * random.standard_normal((4_000, 21, 10))
    by_frame = np.mean([row[-1].max() > conformal_threshold(row[:-1], 0.1) for row in clips])
    by_clip = np.mean([row[-1].max() > conformal_threshold(row[:-1].max(axis=1), 0.1) for row in clips])
    assert by_clip <= 0.1 < by_frame


@given(st.integers(1, 300), st.integers(1, 99))
def test_threshold_and_p_value_agree_and_too_few_give_no_threshold(count, percent):
    rate = percent / 100
    scores = np.random.default_rng(count).random(count)
    threshold = conformal_threshold(scores, rate)
    assert math.isfinite(threshold) == (count >= fewest_scores(rate))
    new = np.append(np.linspace(0, 1, 50), scores)
    exact = np.array([Fraction(1 + int((scores >= each).sum()), count + 1) for each in new])
    np.testing.assert_array_equal(conformal_p_values(scores, new), exact.astype(float))
    np.testing.assert_array_equal(new > threshold, [each <= Fraction(percent, 100) for each in exact])


@pytest.mark.parametrize(("rate", "fewest"), [(0.01, 99), (0.05, 19), (0.1, 9), (0.5, 1), (0.3, 3)])
def test_how_many_scores_a_rate_needs(rate, fewest):
    assert fewest_scores(rate) == fewest
