"""Quasi-Newton ascent of the likelihood over subspaces, all else eliminated exactly.

For a subspace with orthonormal axes Q (d, k) the best encoder is the posterior, the best variances along it are the
eigenvalues μ_j of Qᵀ S Q, cut off at δ below, and the best δ is the mean variance of what is left out. What remains
is a function of the subspace alone, without the scales that make the ELBO's own parameters slow (variable projection:
Golub and Pereyra 1973). Units and R as in `em`.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import fmin_l_bfgs_b

Matrix = NDArray[np.float64]

MEMORY = 20  # pairs of steps and gradients
FOREVER = 2**31 - 1


class Profile(NamedTuple):
    """Best model within a subspace: log-likelihood, gradient, and the model itself.

    ``log_likelihood`` is in nats per sample, ``gradient`` (d, k) its derivative by the basis; the model has variance
    max(μ_j, δ) along ``axes`` (d, k), with μ ``variances`` (k,) in decreasing order, and ``noise`` δ across them.
    """

    log_likelihood: float
    gradient: Matrix
    axes: Matrix
    variances: Matrix
    noise: float

    @property
    def loadings(self) -> Matrix:
        """A (d, k), with A Aᵀ + δ I the covariance of the model."""
        return np.asarray(self.axes * np.sqrt(np.maximum(self.variances - self.noise, 0)))


def profile(rows: Matrix, basis: Matrix, *, noise: float | None, least_noise: float) -> Profile:
    """Best model whose loadings lie in the span of a basis, and how its likelihood changes with that basis.

    Parameters
    ----------
    rows : (r, d) array
        R, with Rᵀ R = S the covariance of the data.
    basis : (d, k) array
        B, of full rank; only its span matters.
    noise : float or None
        δ; None for the best.
    least_noise : float
        Floor of a learned δ.
    """
    R, B = rows, basis
    d, k = B.shape
    Q, T = np.linalg.qr(B)
    RQ = R @ Q
    Omega, mu = _right_singular(RQ)
    outside = R - RQ @ Q.T
    left = float(np.sum(outside**2))
    delta = max(_best_noise(mu, left, d), least_noise) if noise is None else noise
    kept = np.maximum(mu, delta)
    # −½ [d log 2π + Σ (log max(μ_j, δ) + μ_j / max(μ_j, δ)) + (d − k) log δ + rest / δ]
    value = -(d * np.log(2 * np.pi) + np.sum(np.log(kept) + mu / kept) + (d - k) * np.log(delta) + left / delta) / 2
    # (I − Q Qᵀ) S Q · Ω diag(1/δ − 1/max(μ_j, δ)) Ωᵀ · T⁻ᵀ
    ascent = outside.T @ (RQ @ ((Omega * (1 / delta - 1 / kept)) @ Omega.T))
    return Profile(float(value), np.linalg.solve(T, ascent.T).T, Q @ Omega, mu, delta)


def _right_singular(matrix: Matrix) -> tuple[Matrix, Matrix]:
    """Right singular vectors (k, k) of a matrix (r, k), and the k squared singular values in decreasing order."""
    _, singular, vectors = np.linalg.svd(np.linalg.qr(matrix, mode="r"), full_matrices=True)
    squares = np.zeros(matrix.shape[1])
    squares[: len(singular)] = singular**2
    return vectors.T, squares


def _best_noise(variances: Matrix, left: float, data_dim: int) -> float:
    """δ of greatest likelihood: mean variance of the directions left out and of those that would lie below it."""
    q = len(variances)
    if q == data_dim:
        return 0.0
    while q and left >= variances[q - 1] * (data_dim - q):
        q -= 1
        left += float(variances[q])
    return left / (data_dim - q)


def ascend(
    rows: Matrix,
    latent_dim: int,
    *,
    noise: float | None,
    least_noise: float,
    generator: np.random.Generator,
    enough: Callable[[float], bool],
) -> Profile:
    """Climb the profile likelihood by L-BFGS from a random subspace, until it is enough or goes no further.

    Parameters
    ----------
    rows : (r, d) array
        R, with Rᵀ R the covariance of the data.
    latent_dim : int
        k.
    noise : float or None
        δ; None to learn it.
    least_noise : float
        Floor of a learned δ.
    generator : numpy.random.Generator
        Of the directions to start in.
    enough : callable
        Is told the greatest log-likelihood so far at every evaluation; true to stop.

    Returns
    -------
    Profile
        The best that was seen.

    Notes
    -----
    A direction whose variance is not above δ is not used, and no gradient turns it to where it would be: an ascent that
    ends with such directions replaces them by a power step on what the others leave, and goes on.
    """
    d = rows.shape[1]
    start = generator.standard_normal((d, latent_dim))
    best = profile(rows, start, noise=noise, least_noise=least_noise)

    def descent(flat: Matrix) -> tuple[float, Matrix]:
        nonlocal best
        at = profile(rows, flat.reshape(d, latent_dim), noise=noise, least_noise=least_noise)
        # a line search may look down before it goes up
        if at.log_likelihood > best.log_likelihood:
            best = at
        if enough(best.log_likelihood):
            raise _Enough
        return -at.log_likelihood, -at.gradient.ravel()

    end, used = best, 0
    with suppress(_Enough):
        descent(start)
        while used < latent_dim:
            axes = end.axes[:, :used]
            residual = rows - rows @ axes @ axes.T
            fresh = residual.T @ (residual @ generator.standard_normal((d, latent_dim - used)))
            basis, _ = np.linalg.qr(np.concatenate([axes, fresh], axis=1))
            at = profile(rows, basis, noise=noise, least_noise=least_noise)
            # columns as long as the model's deviations: turning any two of them then costs about as much
            start = at.axes * np.sqrt(np.maximum(at.variances, at.noise))
            flat, *_ = fmin_l_bfgs_b(
                descent, start.ravel(), m=MEMORY, factr=0, pgtol=0, maxfun=FOREVER, maxiter=FOREVER
            )
            end = profile(rows, flat.reshape(d, latent_dim), noise=noise, least_noise=least_noise)
            used = int(np.sum(end.variances > end.noise))
    return best


class _Enough(Exception):
    """What was to be reached has been reached."""
