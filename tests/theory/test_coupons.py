"""The coupon collector against harmonic numbers, inclusion and exclusion, and simulation."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tolerances import assert_identity, assert_sampling, assert_single

from theodolite.theory.coupons import expected_draws


@pytest.mark.parametrize("count", [1, 2, 8, 25, 1000])
def test_equal_outcomes_take_k_times_the_harmonic_number(count):
    assert_identity(expected_draws(np.full(count, 1 / count)), count * sum(1 / i for i in range(1, count + 1)))


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=7))
def test_it_is_what_inclusion_and_exclusion_says(weights):
    p = np.array(weights) / sum(weights)
    exact = math.fsum(
        (-1) ** (size + 1) / sum(chosen) for size in range(1, p.size + 1) for chosen in combinations(p, size)
    )
    assert_single(expected_draws(p), exact)


def test_it_is_the_mean_of_a_simulation_even_where_some_draws_give_nothing():
    p = np.array([0.5, 0.3, 0.1])  # a tenth of the draws gives none of them
    random = np.random.default_rng(0)
    lengths = []
    for _ in range(2000):
        met, draws = set(), 0
        while len(met) < 3:
            draws += 1
            drawn = random.choice(4, p=[*p, 0.1])
            met |= {drawn} - {3}
        lengths.append(draws)
    assert_sampling(lengths, expected_draws(p))


def test_what_never_comes_is_waited_for_without_end():
    assert expected_draws([1.0, 0.0]) == math.inf
