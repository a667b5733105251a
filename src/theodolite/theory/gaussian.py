"""Gaussian distributions: the divergence between two of them, and the density of one."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular

NORMAL_95 = 1.959963984540054
"""Standard errors on either side of a 95% interval: the 97.5% quantile of the standard normal distribution."""


def kl_divergence(mean_q: ArrayLike, covariance_q: ArrayLike, mean_p: ArrayLike, covariance_p: ArrayLike) -> float:
    """Divergence KL(q ‖ p) of two Gaussians of k dimensions, in nats.

    Holds when: both covariances are symmetric positive definite.

    Source: Kullback (1959), *Information Theory and Statistics*, ch. 9; derived in ``docs/answers/q2.md``.
    """
    m, S = np.atleast_1d(np.asarray(mean_q, float)), np.atleast_2d(np.asarray(covariance_q, float))
    n, T = np.atleast_1d(np.asarray(mean_p, float)), np.atleast_2d(np.asarray(covariance_p, float))
    factor = cho_factor(T, lower=True)
    # tr(T⁻¹ S)
    spread = np.trace(cho_solve(factor, S))
    # (n − m)ᵀ T⁻¹ (n − m)
    distance = (n - m) @ cho_solve(factor, n - m)
    # log |T| − log |S|
    volume = _log_determinant(T) - _log_determinant(S)
    return float((spread + distance - len(m) + volume) / 2)


def log_density(points: ArrayLike, mean: ArrayLike, covariance: ArrayLike) -> NDArray[np.float64]:
    """Logarithm of the Gaussian density at each point, in nats; points (n, d), result (n,).

    Holds when: the covariance is symmetric positive definite.

    Source: Bishop (2006), *Pattern Recognition and Machine Learning*, eq. 2.43.
    """
    L = np.linalg.cholesky(np.asarray(covariance, float))
    centred = np.asarray(points, float) - np.asarray(mean, float)
    # (x − m)ᵀ C⁻¹ (x − m) = ‖L⁻¹ (x − m)‖²
    distance = (solve_triangular(L, centred.T, lower=True) ** 2).sum(axis=0)
    # log |2π C|
    volume = len(L) * np.log(2 * np.pi) + 2 * np.log(np.diag(L)).sum()
    return np.asarray(-(distance + volume) / 2)


def _log_determinant(covariance: NDArray[np.float64]) -> float:
    return float(2 * np.log(np.diag(np.linalg.cholesky(covariance))).sum())
