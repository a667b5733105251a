import math

import numpy as np
import pytest
from scipy.stats import binomtest
from tests.tolerances import FOUR_STANDARD_ERRORS, assert_identity, assert_sampling

from theodolite.theory.birthdays import (
    batch_for_repetition,
    repetition_probability,
    support_size,
    support_size_lower,
)


def test_the_birthday_paradox():
    exact = 1 - math.prod(1 - i / 365 for i in range(23))
    assert abs(repetition_probability(23, 365) - exact) < 23**3 / 365**2 / 6
    assert round(batch_for_repetition(365)) == 23


@pytest.mark.parametrize("size", [2.0, 365.0, 1e6, 1e12])
def test_batch_and_probability_are_inverse(size):
    assert_identity(repetition_probability(batch_for_repetition(size), size), 0.5)


def test_arora_and_zhangs_approximation_is_the_limit():
    assert abs(batch_for_repetition(1e10) ** 2 / (2 * math.log(2)) / 1e10 - 1) < 1e-4


def test_the_estimate_of_the_repetition_rate_has_no_bias():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(300))
    rates = []
    for _ in range(2000):
        counts = np.bincount(rng.choice(300, 80, p=p))
        rates.append(1 / support_size(float((counts * (counts - 1) / 2).sum()), 80))
    assert_sampling(rates, float((p**2).sum()))


def test_the_lower_bound_holds_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = []
    for _ in range(2000):
        counts = np.bincount(rng.integers(0, 1000, 100))
        held.append(support_size_lower(int((counts * (counts - 1) // 2).sum()), 100, 0.95) <= 1000)
    assert binomtest(sum(held), 2000, 0.95, alternative="less").pvalue > FOUR_STANDARD_ERRORS


def test_nothing_repeated():
    assert support_size(0, 100) == math.inf == batch_for_repetition(math.inf)
    assert_identity(support_size_lower(0, 100, 0.95), math.comb(100, 2) / -math.log(0.05))
