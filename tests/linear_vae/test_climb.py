import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from tests.tolerances import IDENTITY, assert_identity

from theodolite.data.digits import digits
from theodolite.linear_vae.climb import climb
from theodolite.theory import elbo as theory
from theodolite.theory import ppca

METHODS = ("em", "px-em", "lbfgs", "adam")
UNITS = {"noise_variance": None, "prior_variance": 1.0}


def covariance(n=50, d=8, scale=1.0, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, d)) * np.linspace(3, 0.3, d)
    x -= x.mean(axis=0)
    return x.T @ x / n * scale


def digits_covariance():
    x = digits()[0].reshape(1797, 64)
    x = x - x.mean(axis=0)
    return x.T @ x / len(x)


@pytest.mark.parametrize(("method", "bar"), [("em", 89), ("px-em", 29), ("lbfgs", 29), ("adam", 500)])
def test_digits_are_climbed_in_few_iterations(method, bar):
    # one in a million of a nat; medians over five starts
    counts = [
        len(climb(method, digits_covariance(), 10, **UNITS, max_iter=1000, tol=1e-6, seed=seed).gaps) - 1
        for seed in range(5)
    ]
    assert np.median(counts) <= bar


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("noise", [None, 2.0])
@pytest.mark.parametrize("prior", [1.0, 7.0])
def test_the_end_is_the_closed_form_in_any_unit(method, noise, prior):
    reached = climb(method, covariance(), 3, noise_variance=noise, prior_variance=prior, max_iter=5000, tol=0.0, seed=1)
    values = np.linalg.eigvalsh(covariance())[::-1]
    delta = ppca.learned_noise_variance(values, 3) if noise is None else noise
    best = ppca.greatest_elbo(values, 3, delta)
    assert_identity(theory.elbo(covariance(), reached.weights), best)
    assert_identity(best - theory.elbo(covariance(), reached.weights), reached.gaps[-1])
    assert reached.weights.prior_variance == prior
    if noise is not None:
        assert reached.weights.noise_variance == noise


def test_at_the_optimum_every_samples_bound_is_its_likelihood():
    x = np.random.default_rng(0).standard_normal((40, 6)) * np.arange(1, 7)
    x -= x.mean(axis=0)
    reached = climb("px-em", x.T @ x / 40, 2, noise_variance=None, prior_variance=0.3, max_iter=500, tol=1e-9, seed=0)
    U, delta = reached.weights.decoder, reached.weights.noise_variance
    model = multivariate_normal(np.zeros(6), 0.3 * U @ U.T + delta * np.eye(6))
    assert reached.converged
    assert_identity(theory.elbo_per_sample(x, reached.weights), model.logpdf(x))


@pytest.mark.parametrize("method", METHODS)
def test_the_gaps_are_measured_from_the_random_start_on(method):
    full = climb(method, covariance(), 3, **UNITS, max_iter=7, tol=0.0, seed=0)
    start = climb(method, covariance(), 3, **UNITS, max_iter=0, tol=0.0, seed=0)
    assert full.gaps.shape == (8,)
    assert start.gaps.shape == (1,)
    assert_identity(full.gaps[0], start.gaps[0])
    values = np.linalg.eigvalsh(covariance())[::-1]
    best = ppca.greatest_elbo(values, 3, ppca.learned_noise_variance(values, 3))
    for reached in (start, full):
        assert_identity(best - theory.elbo(covariance(), reached.weights), reached.gaps[-1])
        assert not reached.converged


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e-200, 1e-100, 1e100, 1e200])
def test_the_unit_of_the_data_changes_nothing(method, scale):
    one = climb(method, covariance(), 3, **UNITS, max_iter=8, tol=0.0, seed=0)
    other = climb(
        method, covariance(scale=scale), 3, noise_variance=None, prior_variance=1e50, max_iter=8, tol=0, seed=0
    )
    assert_identity(one.gaps, other.gaps)
    assert_identity(other.weights.noise_variance / scale, one.weights.noise_variance)
    assert_identity(other.weights.decoder * np.sqrt(1e50 / scale), one.weights.decoder)
    assert_identity(other.weights.encoder * np.sqrt(scale / 1e50), one.weights.encoder)


@pytest.mark.parametrize("method", METHODS)
def test_collapsed_dimensions_end_at_nothing(method):
    # three of the eigenvalues lie above the noise
    S = np.diag([5.0, 4.0, 3.0, 0.5, 0.4, 0.3])
    reached = climb(method, S, 5, noise_variance=1.0, prior_variance=1.0, max_iter=3000, tol=1e-12, seed=0)
    assert reached.converged
    signal = np.linalg.svd(reached.weights.decoder, compute_uv=False) ** 2
    np.testing.assert_array_equal(signal > np.sqrt(IDENTITY), [True] * 3 + [False] * 2)


@pytest.mark.parametrize("method", ["px-em", "lbfgs"])
@pytest.mark.parametrize(("n", "k"), [(6, 3), (6, 5), (4, 5), (4, 8), (50, 8), (50, 7)])
def test_few_samples_and_full_dimension_reach_the_floor_of_the_noise(method, n, k):
    reached = climb(method, covariance(n), k, **UNITS, max_iter=500, tol=1e-6, seed=0)
    assert reached.converged
    assert all(np.isfinite(part).all() for part in reached.weights)


@pytest.mark.parametrize("method", METHODS)
def test_who_does_not_arrive_says_so(method):
    # noise 1e20 times below the data: rounding alone is more than the tolerance
    reached = climb(method, covariance(), 3, noise_variance=1e-20, prior_variance=1.0, max_iter=50, tol=1e-6, seed=0)
    assert not reached.converged
    assert all(np.isfinite(part).all() for part in reached.weights)


@pytest.mark.parametrize("method", METHODS)
def test_data_that_do_not_vary(method):
    with pytest.raises(ValueError, match="do not vary, so their noise cannot be learned"):
        climb(method, np.zeros((4, 4)), 2, **UNITS, max_iter=10, tol=1e-6, seed=0)
    reached = climb(method, np.zeros((4, 4)), 2, noise_variance=0.5, prior_variance=1.0, max_iter=300, tol=1e-6, seed=0)
    assert reached.converged


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(3, 30),
    d=st.integers(1, 9),
    k=st.integers(1, 9),
    noise=st.none() | st.floats(-3, 3),
    log_prior=st.floats(-20, 20),
    log_scale=st.floats(-50, 50),
    seed=st.integers(0, 10**6),
)
@pytest.mark.parametrize("method", ["em", "px-em", "lbfgs"])
def test_no_procedure_goes_down_or_past_the_top(method, n, d, k, noise, log_prior, log_scale, seed):
    k, scale = min(k, d), 10**log_scale
    S = covariance(n, d, scale, seed)
    delta = None if noise is None else 10**noise * scale
    reached = climb(method, S, k, noise_variance=delta, prior_variance=10**log_prior, max_iter=60, tol=1e-9, seed=seed)
    # of the size of the terms that the gap is a difference of
    unit = d / min(1e-8 if noise is None else 10**noise, 1)
    assert (np.diff(reached.gaps) <= IDENTITY**1.5 * unit).all()
    assert reached.gaps.min() >= -(IDENTITY**1.5) * unit
    assert reached.gaps[-1] <= 1e-9 or not reached.converged
