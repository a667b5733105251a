import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from tests.tolerances import assert_identity, assert_sampling, assert_single
from torch.distributions import MultivariateNormal
from torch.distributions import kl_divergence as torch_kl

from theodolite.theory.gaussian import kl_divergence, log_density


def gaussian(seed, k):
    """A mean and a covariance, well away from singular."""
    random = np.random.default_rng(seed)
    factor = random.standard_normal((k, k))
    return random.standard_normal(k), factor @ factor.T + np.eye(k)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_divergence_agrees_with_torch(k):
    (m, S), (n, T) = gaussian(1, k), gaussian(2, k)
    p, q = (MultivariateNormal(torch.tensor(mean), torch.tensor(covariance)) for mean, covariance in ((n, T), (m, S)))
    assert_identity(kl_divergence(m, S, n, T), float(torch_kl(q, p)))


def test_divergence_is_the_mean_of_the_log_ratio():
    (m, S), (n, T) = gaussian(3, 3), gaussian(4, 3)
    draws = np.random.default_rng(0).multivariate_normal(m, S, size=20_000)
    ratio = multivariate_normal(m, S).logpdf(draws) - multivariate_normal(n, T).logpdf(draws)
    assert_sampling(ratio, kl_divergence(m, S, n, T))


def test_on_the_line_by_hand():
    # ½ (s²/t² + (m − n)²/t² − 1 + log t²/s²)
    assert_identity(kl_divergence(1.0, 4.0, 3.0, 2.0), (2 + 2 - 1 + np.log(0.5)) / 2)


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 6))
@settings(deadline=None)
def test_divergence_vanishes_only_between_equals(seed, k):
    m, S = gaussian(seed, k)
    assert_identity(kl_divergence(m, S, m, S), 0)
    assert kl_divergence(m, S, m + 0.1, S) > 0
    assert kl_divergence(m, S, m, 1.1 * S) > 0


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 4))
@settings(deadline=None)
def test_divergence_is_the_same_in_any_coordinates(seed, k):
    (m, S), (n, T) = gaussian(seed, k), gaussian(seed + 1, k)
    A = gaussian(seed + 2, k)[1]
    moved = kl_divergence(A @ m, A @ S @ A.T, A @ n, A @ T @ A.T)
    assert_single(moved, kl_divergence(m, S, n, T))  # the condition of A costs digits


def test_density_agrees_with_scipy():
    m, S = gaussian(5, 4)
    points = np.random.default_rng(1).standard_normal((7, 4))
    assert_identity(log_density(points, m, S), multivariate_normal(m, S).logpdf(points))


def test_a_covariance_that_is_none_is_refused():
    with pytest.raises(np.linalg.LinAlgError):
        kl_divergence([0, 0], np.eye(2), [0, 0], -np.eye(2))
