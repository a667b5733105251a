import numpy as np
import pytest
from tests.coverage.slow_distances import slow_squares
from tests.tolerances import assert_identity, assert_sampling

from theodolite.coverage.support import same_within, support
from theodolite.kernel.errors import DataError, UsageError


def test_a_discrete_distribution_of_known_support():
    rng = np.random.default_rng(0)
    atoms = rng.normal(size=(500, 3))
    found = [support(atoms[rng.integers(0, 500, 300)], 0.0) for _ in range(60)]
    assert_sampling([1 / one.size for one in found], 1 / 500)
    assert np.mean([one.lower <= 500 for one in found]) >= 0.9


def test_unequal_atoms_count_for_as_many_equal_ones():
    rng = np.random.default_rng(1)
    p = np.array([0.5, *np.full(50, 0.01)])
    atoms = rng.normal(size=(51, 2))
    found = [support(atoms[rng.choice(51, 200, p=p)], 0.0) for _ in range(60)]
    assert_sampling([1 / one.size for one in found], float((p**2).sum()))


def test_pairs_are_those_of_a_slow_loop():
    x = np.random.default_rng(2).normal(size=(150, 2))
    found = support(x, 0.1)
    assert found.repeated_pairs == int((slow_squares(x, x)[np.triu_indices(150, 1)] <= 0.1**2).sum()) > 0
    assert found.size == 150 * 149 / 2 / found.repeated_pairs


def test_one_thing_only_and_nothing_twice():
    one = support(np.full((5000, 3), 0.1), 0.0)
    assert (one.size, one.repeated_pairs) == (1, 5000 * 4999 // 2)
    never = support(np.random.default_rng(0).normal(size=(300, 3)), 0.0)
    assert never.size == never.batch == np.inf
    assert 300 * 299 / 2 / 3.1 < never.lower < 300 * 299 / 2 / 2.9  # the rule of three


def test_the_batch_repeats_half_of_the_time():
    rng = np.random.default_rng(3)
    batch = round(support(rng.integers(0, 365, (4000, 1)), 0.0).batch)
    assert abs(batch - 23) <= 1
    assert_sampling([len(set(rng.integers(0, 365, 23))) < 23 for _ in range(4000)], 0.5073)


def test_the_proposed_distance_scales_with_the_data():
    x = np.random.default_rng(4).normal(size=(300, 3))
    nearest = [np.sqrt(np.sort(row)[1]) for row in slow_squares(x, x)]
    assert_identity(same_within(x), np.median(nearest) / 2)
    assert_identity(same_within(1e6 * x, 0.2), 0.2 * 1e6 * np.median(nearest))


@pytest.mark.parametrize("within", [-1.0, np.nan, np.inf])
def test_a_distance_that_is_none_is_told(within):
    with pytest.raises(UsageError, match="within="):
        support(np.zeros((9, 2)), within)


def test_too_few_samples_are_told():
    with pytest.raises(DataError, match="at least 2"):
        support(np.zeros((1, 2)), 0.1)
    with pytest.raises(DataError, match="at least 2"):
        same_within(np.zeros((1, 2)))
