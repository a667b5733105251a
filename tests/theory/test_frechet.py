import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.stats import norm
from tests.tolerances import assert_identity, assert_single

from theodolite.theory.frechet import frechet_at_infinity, frechet_distance


def covariance(seed, d, rank=None):
    factor = np.random.default_rng(seed).normal(size=(d, rank or d))
    return factor @ factor.T


@given(seed=st.integers(0, 99), d=st.integers(1, 12))
def test_equal_to_the_root_of_the_product(seed, d):
    a, b = covariance(seed, d), covariance(seed + 100, d)
    m = np.random.default_rng(seed).normal(size=d)
    # the root of an ill-conditioned product loses half of the digits
    assert_single(frechet_distance(m, a, 0 * m, b), m @ m + np.trace(a + b - 2 * sqrtm(a @ b).real))


@given(seed=st.integers(0, 99), d=st.integers(2, 12))
def test_covariances_that_commute(seed, d):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.normal(size=(d, d)))[0]
    a, b = rng.uniform(0, 3, (2, d))
    expected = np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    np.testing.assert_allclose(
        frechet_distance(np.zeros(d), (Q * a) @ Q.T, np.zeros(d), (Q * b) @ Q.T), expected, atol=1e-7
    )


def test_of_a_gaussian_and_itself_whatever_the_rank():
    for rank in (1, 5, 40):
        a = covariance(rank, 40, rank)
        assert_identity(frechet_distance(np.ones(40), a, np.ones(40), a) / np.trace(a), 0)


def test_it_is_symmetric():
    a, b, m = covariance(1, 7), covariance(2, 7, 3), np.arange(7.0)
    assert_identity(frechet_distance(m, a, -m, b), frechet_distance(-m, b, m, a))


def test_in_one_dimension_by_quantiles():
    """The squared 2-Wasserstein distance on the line is the mean squared difference of quantiles."""
    p = (np.arange(200_000) + 0.5) / 200_000
    expected = np.mean((norm.ppf(p, 1, 2) - norm.ppf(p, -1, 0.5)) ** 2)
    assert_single(frechet_distance(1, 4, -1, 0.25), expected)


def test_the_line_is_read_at_infinity():
    sizes = np.array([100, 200, 500])
    assert_identity(frechet_at_infinity(sizes, 2.5 + 7 / sizes), 2.5)
