import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from tests.tolerances import assert_identity, assert_single

from theodolite.data.digits import digits
from theodolite.theory import elbo as theory
from theodolite.theory import ppca
from theodolite.theory.elbo import Weights


def samples(seed=0, n=60, d=6):
    random = np.random.default_rng(seed)
    return random.standard_normal((n, d)) @ random.standard_normal((d, d))


def covariance(X):
    return np.cov(X.T, ddof=0)


@pytest.mark.parametrize("shape", [(60, 6), (6, 6), (4, 9)])
def test_the_spectrum_is_that_of_the_covariance(shape):
    X = samples(1, *shape)
    mean, values, vectors = ppca.spectrum(X)
    assert_identity(mean, X.sum(axis=0) / len(X))
    assert_identity(values, np.linalg.eigvalsh(covariance(X))[::-1])
    assert_identity(covariance(X), vectors * values[: vectors.shape[1]] @ vectors.T)
    assert (np.abs(vectors).max(axis=0) == vectors.max(axis=0)).all()


def test_the_divisor_is_what_was_asked_for():
    X = samples()
    assert_identity(ppca.spectrum(X, ddof=1).eigenvalues, PCA(svd_solver="full").fit(X).explained_variance_)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_noise_and_likelihood_are_those_of_scikit_learn(k):
    X = samples()
    values = ppca.spectrum(X, ddof=1).eigenvalues
    pca = PCA(k, svd_solver="full").fit(X)
    noise = ppca.learned_noise_variance(values, k)
    assert_identity(noise, pca.noise_variance_)
    # scikit-learn scores the data, whose covariance has the divisor n, by a model fitted with n − 1
    weights = ppca.optimum(ppca.spectrum(X, ddof=1), k, noise, 1.0)
    assert_identity(theory.log_likelihood(covariance(X), weights.decoder, noise, 1.0), pca.score(X))


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 6), noise=st.floats(0.01, 20), epsilon=st.floats(0.01, 100))
@settings(deadline=None)
def test_at_the_optimum_bound_and_likelihood_are_what_the_spectrum_says(seed, k, noise, epsilon):
    X = samples(seed)
    data = ppca.spectrum(X)
    weights = ppca.optimum(data, k, noise, epsilon)
    greatest = ppca.greatest_elbo(data.eigenvalues, k, noise)
    S = covariance(X)
    assert_single(theory.elbo(S, weights), greatest)
    assert_single(theory.log_likelihood(S, weights.decoder, noise, epsilon), greatest)
    divergence = -sum(theory.terms(S, weights)[3:])
    assert_single(ppca.kl_per_dimension(data.eigenvalues, k, noise).sum(), divergence)
    assert np.linalg.matrix_rank(weights.decoder) == ppca.active_dimensions(data.eigenvalues, k, noise)


@pytest.mark.parametrize("noise", [None, 0.4])
def test_no_numerical_search_finds_more(noise):
    X, k, d, epsilon = samples(2), 2, 6, 3.0
    S, values = covariance(X), ppca.spectrum(X).eigenvalues
    at_optimum = ppca.learned_noise_variance(values, k) if noise is None else noise

    def unpack(flat):
        factor = np.tril(flat[24:28].reshape(k, k), -1) + np.diag(np.exp(flat[[24, 27]]))
        delta = float(np.exp(flat[28])) if noise is None else noise
        return Weights(flat[:12].reshape(d, k), flat[12:24].reshape(k, d), factor @ factor.T, delta, epsilon)

    start = np.random.default_rng(0).standard_normal(29) / 2
    found = minimize(lambda flat: -theory.elbo(S, unpack(flat)), start, method="BFGS", options={"maxiter": 2000})
    assert_single(-found.fun, ppca.greatest_elbo(values, k, at_optimum))
    assert -found.fun <= ppca.greatest_elbo(values, k, at_optimum) + 1e-9
    assert_single(unpack(found.x).noise_variance / at_optimum, 1)


@pytest.mark.parametrize("k", [1, 3])
def test_gradients_vanish_at_the_optimum(k):
    X = samples(3)
    data = ppca.spectrum(X)
    weights = ppca.optimum(data, k, ppca.learned_noise_variance(data.eigenvalues, k), 2.0)
    for gradient in theory.gradients(covariance(X), weights):
        assert_identity(gradient, np.zeros_like(gradient))


def test_the_known_optimum_on_digits():
    values = ppca.spectrum(digits()[0].reshape(-1, 64)).eigenvalues
    noise = ppca.learned_noise_variance(values, 10)
    assert round(ppca.greatest_elbo(values, 10, noise), 3) == 17.452
    assert [ppca.active_dimensions(values, 10, delta) for delta in (0.05, 0.15, 0.3)] == [10, 9, 4]


def test_learned_noise_is_the_best_noise():
    values = ppca.spectrum(samples(4)).eigenvalues
    best = ppca.learned_noise_variance(values, 2)
    for other in (0.9 * best, 1.1 * best):
        assert ppca.greatest_elbo(values, 2, other) < ppca.greatest_elbo(values, 2, best)


def test_all_dimensions_kept_leave_the_least_noise_and_the_whole_covariance():
    X = samples(5)
    data = ppca.spectrum(X)
    noise = ppca.learned_noise_variance(data.eigenvalues, 6)
    assert_identity(noise, 1e-8 * data.eigenvalues.mean())
    U = ppca.optimum(data, 6, noise, 1.0).decoder
    assert_identity(U @ U.T + noise * np.eye(6), covariance(X))


def test_data_of_low_rank_get_the_least_noise():
    random = np.random.default_rng(0)
    X = random.standard_normal((50, 2)) @ random.standard_normal((2, 6))
    values = ppca.spectrum(X).eigenvalues
    assert_identity(ppca.learned_noise_variance(values, 3), ppca.noise_floor(values))
    assert ppca.active_dimensions(values, 3, ppca.noise_floor(values)) == 2


@pytest.mark.parametrize("shape", [(60, 6), (6, 6)])
def test_eigenvalues_of_a_covariance_are_those_of_the_samples(shape):
    X = samples(8, *shape)
    assert_identity(ppca.eigenvalues(covariance(X)), ppca.spectrum(X).eigenvalues)
    assert (ppca.eigenvalues(covariance(X[:3])) >= 0).all()


@given(seed=st.integers(0, 100), k=st.integers(1, 6), noise=st.floats(1e-3, 1e3), epsilon=st.floats(1e-2, 1e2))
@settings(max_examples=30)
def test_the_density_is_scipys(seed, k, noise, epsilon):
    random = np.random.default_rng(seed)
    U, X = random.standard_normal((6, k)), random.standard_normal((9, 6))
    model = multivariate_normal(np.zeros(6), epsilon * U @ U.T + noise * np.eye(6))
    assert_identity(ppca.log_density(X, U, noise, epsilon) / model.logpdf(X), 1)


def test_the_density_keeps_its_digits_where_the_noise_is_tiny():
    """In the plane of the decoder the squared distance is that of the code, whatever the noise."""
    U, z, noise = np.array([[3.0], [4.0]]), 2.0, 1e-14
    on_plane = ppca.log_density((U * z).T, U, noise, 1.0)
    # N(0, UUᵀ + δI): log-determinant log(25 + δ) + log δ, distance z² at δ → 0
    expected = -(2 * np.log(2 * np.pi) + np.log(25) + np.log(noise) + z**2) / 2
    assert_identity(on_plane, expected)
