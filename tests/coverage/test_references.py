import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn.neighbors import NearestNeighbors
from tests.tolerances import SINGLE, assert_single

from theodolite.coverage.references import References, _largest

CASES = {
    "few columns": (300, 200, 2, 1.0),
    "many columns": (900, 600, 70, 1.0),
    "far from 0": (500, 300, 5, 1.0),
    "beyond single precision": (400, 300, 3, 1e3),
}


@pytest.mark.parametrize("case", CASES)
def test_distances_and_densities_are_those_of_another_library(case):
    count, asked, columns, spread = CASES[case]
    rng = np.random.default_rng(0)
    shift = 1e4 if case == "far from 0" else 0.0
    points = rng.normal(shift, spread, (count, columns))
    samples = np.concatenate([rng.normal(shift, spread, (asked, columns)), points[:7]])
    near = References(points, points.mean(axis=0), unit=0.7)
    expected = NearestNeighbors(n_neighbors=5).fit(points).kneighbors(samples)[0]
    np.testing.assert_allclose(near.distances(samples, 5), expected, rtol=SINGLE, atol=SINGLE * spread)
    np.testing.assert_array_equal(near.distances(points[:7], 1), 0.0)
    kernels = logsumexp(-0.5 * (cdist(samples, points) / 0.7) ** 2, axis=1) - np.log(count)
    np.testing.assert_allclose(near.log_density(samples), kernels, rtol=SINGLE, atol=1e2 * SINGLE)


def test_an_outlier_is_as_right_as_the_others():
    """A reference far out: in single precision it would lie at the wrong end of everything."""
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.normal(0, 1, (400, 1)), [[1e4]]])
    near = References(points, np.zeros(1), unit=0.1)
    assert np.float32 not in near.rows
    found = near.log_density(np.array([[1e4 + 0.05], [1e4]]))
    assert_single(found[0] - found[1], -0.5 * 0.5**2)


def test_equal_samples_are_told_alike_wherever_they_stand():
    rng = np.random.default_rng(2)
    points, sample = rng.normal(0, 1, (200, 4)), np.r_[300.0, 0, 0, 0]
    near = References(points, np.zeros(4))
    alone = near.log_density(sample[None])
    among = near.log_density(np.concatenate([rng.normal(0, 1, (5, 4)), sample[None]]))
    assert_single(among[-1], alone[0])


@given(st.integers(1, 700), st.integers(1, 6), st.integers(0, 1000))
def test_the_largest_of_each_column(rows, k, seed):
    values = np.random.default_rng(seed).integers(0, 50, (rows, 3)).astype(float)
    k = min(k, rows)
    chosen = _largest(values, k)
    assert all(len(set(row)) == k for row in chosen.tolist())
    found = np.sort(np.take_along_axis(values.T, chosen, axis=1), axis=1)
    np.testing.assert_array_equal(found, np.sort(values.T, axis=1)[:, rows - k :])
