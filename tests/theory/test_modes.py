import math

import numpy as np
import pytest
from scipy.stats import entropy
from tests.tolerances import assert_identity, assert_sampling

from theodolite.theory.modes import expected_reverse_kl, reverse_kl


def test_reverse_kl_is_scipys_relative_entropy():
    random = np.random.default_rng(0)
    made, due = random.dirichlet(np.ones(7)), random.dirichlet(np.ones(7))
    assert_identity(reverse_kl(0.3 * made, due), entropy(made, due))


def test_it_is_nothing_where_all_is_even_and_log_k_where_one_of_k_is_left():
    assert reverse_kl(np.full(25, 0.01), np.full(25, 0.04)) == pytest.approx(0, abs=1e-15)
    assert_identity(reverse_kl([1.0, *[0.0] * 24], np.full(25, 0.04)), math.log(25))


def test_a_generator_without_a_good_sample_is_infinitely_far():
    assert reverse_kl(np.zeros(3), np.full(3, 1 / 3)) == math.inf


def test_what_chance_alone_shows_is_the_mean_over_draws():
    random = np.random.default_rng(1)
    weights = np.full(50, 1 / 50)
    seen = np.array([reverse_kl(counts, weights) for counts in random.multinomial(5000, weights, 400)])
    assert_sampling(seen, expected_reverse_kl(50, 5000))
