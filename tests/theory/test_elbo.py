import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm
from tests.tolerances import assert_identity, assert_sampling

from theodolite.theory import elbo as theory
from theodolite.theory.elbo import Weights
from theodolite.theory.gaussian import kl_divergence

SEEDS = st.integers(0, 2**32 - 1)


def problem(seed=0, n=40, d=6, k=3):
    """Centred samples, their covariance, and weights with a full Σ and η_e² ≠ 1."""
    random = np.random.default_rng(seed)
    samples = random.standard_normal((n, d)) @ random.standard_normal((d, d))
    samples -= samples.mean(axis=0)
    factor = random.standard_normal((k, k)) / 2
    weights = Weights(
        random.standard_normal((d, k)), random.standard_normal((k, d)) / d, factor @ factor.T + np.eye(k) / 4, 0.7, 2.5
    )
    return samples, samples.T @ samples / n, weights


def sampled_elbo(x, weights, draws):
    """log p(x|z) + log p(z) − log q(z|x) for draws of z: the definition of the ELBO and nothing else."""
    U, W, Sigma, delta, epsilon = weights
    k = len(W)
    encoder = multivariate_normal(W @ x, Sigma)
    z = encoder.rvs(draws, random_state=7)
    likelihood = norm.logpdf(x, z @ U.T, np.sqrt(delta)).sum(axis=1)
    return likelihood + multivariate_normal(np.zeros(k), epsilon * np.eye(k)).logpdf(z) - encoder.logpdf(z)


def test_one_sample_agrees_with_its_definition_by_sampling():
    samples, _, weights = problem()
    for x, expected in zip(samples[:5], theory.elbo_per_sample(samples[:5], weights), strict=True):
        assert_sampling(sampled_elbo(x, weights, 40_000), expected)


def test_the_mean_of_the_samples_is_the_form_in_the_covariance():
    samples, S, weights = problem()
    assert_identity(theory.elbo_per_sample(samples, weights).mean(), theory.elbo(S, weights))


def test_the_last_three_terms_are_minus_the_divergence():
    samples, S, weights = problem()
    _, W, Sigma, _, epsilon = weights
    k = len(W)
    divergences = [kl_divergence(W @ x, Sigma, np.zeros(k), epsilon * np.eye(k)) for x in samples]
    assert_identity(-sum(theory.terms(S, weights)[3:]), np.mean(divergences))


def test_the_likelihood_is_scipys():
    samples, S, weights = problem()
    U, _, _, delta, epsilon = weights
    density = multivariate_normal(np.zeros(len(U)), epsilon * U @ U.T + delta * np.eye(len(U)))
    assert_identity(theory.log_likelihood(S, U, delta, epsilon), density.logpdf(samples).mean())


def test_the_posterior_is_that_of_bayes_rule():
    samples, _, (U, _, _, delta, epsilon) = problem()
    W, Sigma = theory.posterior(U, delta, epsilon)
    k, x = len(W), samples[0]
    points = np.random.default_rng(3).standard_normal((5, k))
    prior, evidence = multivariate_normal(np.zeros(k), epsilon * np.eye(k)), epsilon * U @ U.T + delta * np.eye(len(U))
    joint = norm.logpdf(x, points @ U.T, np.sqrt(delta)).sum(axis=1) + prior.logpdf(points)
    bayes = joint - multivariate_normal(np.zeros(len(U)), evidence).logpdf(x)
    assert_identity(multivariate_normal(W @ x, Sigma).logpdf(points), bayes)


@given(seed=SEEDS)
@settings(deadline=None)
def test_likelihood_less_elbo_is_the_gap(seed):
    _, S, weights = problem(seed)
    U, _, _, delta, epsilon = weights
    likelihood = theory.log_likelihood(S, U, delta, epsilon)
    assert_identity(theory.gap(S, weights), likelihood - theory.elbo(S, weights))
    assert theory.gap(S, weights) >= 0
    exact = weights._replace(
        **dict(zip(("encoder", "encoder_covariance"), theory.posterior(U, delta, epsilon), strict=True))
    )
    assert_identity(theory.gap(S, exact), 0)
    assert_identity(theory.elbo(S, exact), likelihood)


@given(seed=SEEDS, c=st.floats(0.01, 100))
@settings(deadline=None)
def test_scaling_the_code_changes_nothing(seed, c):
    _, S, (U, W, Sigma, delta, epsilon) = problem(seed)
    scaled = Weights(U / c, c * W, c**2 * Sigma, delta, c**2 * epsilon)
    assert_identity(theory.elbo(S, scaled), theory.elbo(S, Weights(U, W, Sigma, delta, epsilon)))


@given(seed=SEEDS)
@settings(deadline=None)
def test_rotating_the_code_changes_nothing(seed):
    _, S, weights = problem(seed)
    U, W, Sigma, delta, epsilon = weights
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    rotated = Weights(U @ Q.T, Q @ W, Q @ Sigma @ Q.T, delta, epsilon)
    assert_identity(theory.elbo(S, rotated), theory.elbo(S, weights))


@pytest.mark.parametrize("seed", range(3))
def test_gradients_agree_with_automatic_differentiation(seed):
    samples, S, weights = problem(seed)
    U, W, Sigma, delta, epsilon = variables = [
        torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in weights
    ]
    x = torch.tensor(samples)
    encoder = torch.distributions.MultivariateNormal(x @ W.T, Sigma)
    prior = torch.distributions.MultivariateNormal(torch.zeros(3).double(), epsilon * torch.eye(3).double())
    error = (x - x @ W.T @ U.T).square().sum(-1).mean() + torch.trace(U @ Sigma @ U.T)
    likelihood = -(6 * torch.log(2 * torch.pi * delta) + error / delta) / 2
    elbo = likelihood - torch.distributions.kl_divergence(encoder, prior).mean()
    assert_identity(float(elbo.detach()), theory.elbo(S, weights))
    automatic = torch.autograd.grad(elbo, variables)
    for name, ours, theirs in zip(Weights._fields, theory.gradients(S, weights), automatic, strict=True):
        # torch's factorisation of Σ reads one triangle only: its derivative is symmetrised like ours
        theirs = (theirs + theirs.T) / 2 if name == "encoder_covariance" else theirs
        assert_identity(ours, theirs.numpy())
