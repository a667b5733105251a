"""Expectation–maximisation for probabilistic PCA, plain and parameter-expanded, by orthogonal factors.

Everything here is in unit scales: z has the prior N(0, I), and the covariance of the data is S = Rᵀ R, so that the rows
of R (r, d) do what the data's own rows would. Letters: A (d, k) the loadings, δ the noise, Z = E[z] (r, k) the codes,
Σ = L Lᵀ the covariance of z given x. No matrix is inverted: a step is a least-squares problem, solved by one QR.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

Matrix = NDArray[np.float64]


class Fit(NamedTuple):
    """Loadings A (d, k) and noise δ with what they say of the data: W (k, d), L (k, k), Z (r, k) and log p.

    The encoder is the exact posterior, so ``log_likelihood``, in nats per sample, is the ELBO as well.
    """

    loadings: Matrix
    noise: float
    encoder: Matrix
    encoder_factor: Matrix
    codes: Matrix
    log_likelihood: float


def appraise(rows: Matrix, loadings: Matrix, noise: float) -> Fit:
    """Posterior and log-likelihood of a model, every term a sum of squares, so that small noise costs no digits.

    Parameters
    ----------
    rows : (r, d) array
        R, with Rᵀ R the covariance of the data.
    loadings : (d, k) array
        A.
    noise : float
        δ > 0.
    """
    R, A, delta = rows, loadings, noise
    d, k = A.shape
    # A = P diag(s) Oᵀ
    P, s, Ot = np.linalg.svd(A, full_matrices=False)
    variances = s**2 + delta
    # W = O diag(s / (s² + δ)) Pᵀ,  L = O diag √(δ / (s² + δ))
    W = (Ot.T * (s / variances)) @ P.T
    L = Ot.T * np.sqrt(delta / variances)
    Z = R @ W.T
    # log |A Aᵀ + δ I|
    volume = np.log(variances).sum() + (d - k) * np.log(delta)
    # tr((A Aᵀ + δ I)⁻¹ S) = ‖R − Z Aᵀ‖² / δ + ‖Z‖²
    distance = np.sum((R - Z @ A.T) ** 2) / delta + np.sum(Z**2)
    return Fit(A, delta, W, L, Z, float(-(d * np.log(2 * np.pi) + volume + distance) / 2))


def ascend(rows: Matrix, loadings: Matrix, noise: float, *, least_noise: float | None, expanded: bool) -> Iterator[Fit]:
    """Climb the likelihood without end: the start, then the model after each iteration; none is below the last.

    Parameters
    ----------
    rows : (r, d) array
        R, with Rᵀ R the covariance of the data.
    loadings : (d, k) array
        A at the start; no column of the optimum may be orthogonal to all of it.
    noise : float
        δ at the start.
    least_noise : float or None
        Floor of a learned δ; None to hold δ still.
    expanded : bool
        Fit the covariance of z, too, and absorb it into A: the step from S A to the loadings is then a rotation of
        the codes, not a regression on them, and no scale has to be found by small steps (Liu, Rubin and Wu 1998).

    Notes
    -----
    E-step as `appraise`; the M-step of Tipping and Bishop (1999), eq. 27 f., minimises E‖x − A z‖² over A, that is
    ‖[R; 0] − [Z; Lᵀ] Aᵀ‖². With [Z; Lᵀ] = Q T the regression is A = Rᵀ Q T⁻ᵀ, and E[z zᵀ] = Tᵀ T is the covariance that
    the expanded model gives to z: A Tᵀ = Rᵀ Q.
    """
    R = rows
    r, d = R.shape
    fit = appraise(R, loadings, noise)
    while True:
        yield fit
        Q, T = np.linalg.qr(np.concatenate([fit.codes, fit.encoder_factor.T]))
        projection = R.T @ Q[:r]
        delta = fit.noise
        if least_noise is not None:
            # δ = ‖[R; 0] − Q Qᵀ [R; 0]‖² / d
            residual = np.sum((R - Q[:r] @ projection.T) ** 2) + np.sum((Q[r:] @ projection.T) ** 2)
            delta = max(float(residual) / d, least_noise)
        A = projection if expanded else solve_triangular(T, projection.T).T
        fit = appraise(R, A, delta)
