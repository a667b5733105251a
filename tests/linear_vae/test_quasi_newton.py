import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from tests.tolerances import assert_identity

from theodolite.linear_vae import quasi_newton
from theodolite.theory import elbo as theory
from theodolite.theory import ppca

ROUNDINGS = 2**12 * np.finfo(float).eps  # of the largest entry: 9e-13


def problem(d=6, k=3):
    rng = np.random.default_rng(0)
    return rng.standard_normal((9, d)) * [3, 2, 1.5, 1, 0.5, 0.3], rng.standard_normal((d, k))


def by_autograd(rows, basis, noise):
    """Profile likelihood and its gradient with Qᵀ S Q formed, its eigenvalues cut off, and δ as found."""
    R, B = torch.from_numpy(rows), torch.from_numpy(basis).requires_grad_()
    Q, _ = torch.linalg.qr(B)
    d, k = basis.shape
    values = torch.linalg.eigvalsh(Q.T @ R.T @ R @ Q)
    kept = values.clamp(min=noise)
    left = (R**2).sum() - values.sum()
    bound = d * np.log(2 * np.pi) + (kept.log() + values / kept).sum() + (d - k) * np.log(noise) + left / noise
    (-bound / 2).backward()
    return -bound.item() / 2, B.grad.numpy()


@pytest.mark.parametrize("noise", [None, 0.4, 6.0, 1000.0])
def test_the_gradient_is_autograds(noise):
    R, B = problem()
    at = quasi_newton.profile(R, B, noise=noise, least_noise=1e-8)
    # a learned δ is the best one, so it counts as a constant
    value, gradient = by_autograd(R, B, at.noise)
    assert abs(at.log_likelihood - value) <= ROUNDINGS * abs(value)
    assert np.abs(at.gradient - gradient).max() <= ROUNDINGS * max(np.abs(gradient).max(), 1)


@pytest.mark.parametrize("noise", [None, 0.4, 6.0])
def test_nothing_within_the_subspace_is_better(noise):
    R, B = problem()
    at = quasi_newton.profile(R, B, noise=noise, least_noise=1e-8)
    S = R.T @ R
    assert_identity(at.log_likelihood, theory.log_likelihood(S, at.loadings, at.noise, 1.0))

    def descent(flat):
        return -theory.log_likelihood(S, B @ flat[:-1].reshape(3, 3), np.exp(flat[-1]) if noise is None else noise, 1.0)

    slow = minimize(descent, np.append(np.eye(3).ravel(), 0.0), tol=1e-12, method="BFGS", options={"gtol": 1e-6})
    assert at.log_likelihood >= -slow.fun
    assert_identity(at.log_likelihood, -slow.fun)


def test_a_direction_below_the_noise_belongs_to_it():
    # the basis holds the two weakest of three directions; left out is 4, more than either
    R = np.diag([2.0, 1.0, 0.5])
    at = quasi_newton.profile(R, np.eye(3)[:, 1:], noise=None, least_noise=1e-8)
    assert_identity(at.noise, (4 + 1 + 0.25) / 3)
    assert not at.loadings.any()


@pytest.mark.parametrize("noise", [None, 3.0])
def test_an_ascent_leaves_a_subspace_that_has_no_gradient(noise):
    # the start sees only directions that the noise covers: the gradient there is zero, the optimum far
    R = np.diag([5.0, 4.0, 1.0, 1.0, 1.0, 1.0])
    worst = quasi_newton.profile(R, np.eye(6)[:, 3:5], noise=noise, least_noise=1e-8)
    assert not worst.gradient.any()

    class Worst:
        def __init__(self):
            self.calls, self.generator = 0, np.random.default_rng(0)

        def standard_normal(self, shape):
            self.calls += 1
            return np.eye(6)[:, 3:5] if self.calls == 1 else self.generator.standard_normal(shape)

    seen = []
    found = quasi_newton.ascend(
        R, 2, noise=noise, least_noise=1e-8, generator=Worst(), enough=lambda value: bool(seen.append(value))
    )
    values = np.diag(R) ** 2
    delta = ppca.learned_noise_variance(values, 2) if noise is None else noise
    assert seen[0] == worst.log_likelihood
    assert_identity(found.log_likelihood, ppca.greatest_elbo(values, 2, delta))


def test_a_power_step_worse_than_the_start_is_not_the_end():
    # two directions just above the noise, and draws that miss the better one at first
    R = np.diag([2.0, 1.01, *[0.1] * 7])

    class Unlucky:
        def __init__(self):
            start, miss = np.zeros((9, 1)), np.zeros((9, 1))
            start[1], miss[2] = 1, 1
            self.draws = iter([start, miss, np.ones((9, 1))])

        def standard_normal(self, shape):
            return next(self.draws)

    found = quasi_newton.ascend(R, 1, noise=1.0, least_noise=1e-8, generator=Unlucky(), enough=lambda _: False)
    assert_identity(found.log_likelihood, ppca.greatest_elbo(np.diag(R) ** 2, 1, 1.0))
