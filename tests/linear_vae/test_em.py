import numpy as np
import pytest
from tests.tolerances import assert_identity

from theodolite.linear_vae import em
from theodolite.theory import elbo as theory


def problem(r=7, d=6, k=3):
    rng = np.random.default_rng(0)
    return rng.standard_normal((r, d)), rng.standard_normal((d, k)), 0.7


def textbook(rows, loadings, noise, expanded):
    """One iteration by the formulas with inverses: Tipping and Bishop (1999), eq. 27 f., and the expanded step."""
    S, A = rows.T @ rows, loadings
    d, k = A.shape
    M = A.T @ A + noise * np.eye(k)
    SA = S @ A
    second = np.linalg.inv(M) @ A.T @ SA @ np.linalg.inv(M) + noise * np.linalg.inv(M)  # E[z zᵀ]
    new = SA @ np.linalg.inv(noise * np.eye(k) + np.linalg.inv(M) @ A.T @ SA)
    delta = (np.trace(S) - np.trace(SA @ np.linalg.inv(M) @ new.T)) / d
    return (new @ np.linalg.cholesky(second) if expanded else new), delta


@pytest.mark.parametrize("expanded", [False, True])
def test_a_step_is_the_textbooks(expanded):
    R, A, delta = problem()
    steps = em.ascend(R, A, delta, least_noise=0.0, expanded=expanded)
    next(steps)
    step = next(steps)
    expected, noise = textbook(R, A, delta, expanded)
    # of the expanded loadings, only A Aᵀ is determined
    assert_identity(step.loadings @ step.loadings.T, expected @ expected.T)
    assert_identity(step.noise, noise)


def test_a_model_is_appraised_by_its_exact_posterior():
    R, A, delta = problem()
    fit = em.appraise(R, A, delta)
    W, Sigma = theory.posterior(A, delta, 1.0)
    assert_identity(fit.encoder, W)
    assert_identity(fit.encoder_factor @ fit.encoder_factor.T, Sigma)
    assert_identity(fit.codes, R @ W.T)
    assert_identity(fit.log_likelihood, theory.log_likelihood(R.T @ R, A, delta, 1.0))


@pytest.mark.parametrize("expanded", [False, True])
@pytest.mark.parametrize("least", [None, 0.2])
def test_the_noise_is_held_still_or_not_below_its_floor(expanded, least):
    R, A, _ = problem(r=2)
    steps = em.ascend(R, A, 0.7, least_noise=least, expanded=expanded)
    noises = [next(steps).noise for _ in range(30)]
    if least is None:
        assert set(noises) == {0.7}
    else:
        assert noises[-1] == least
        assert min(noises) == least
