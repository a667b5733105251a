"""Rows of which only some entries were observed: posterior, likelihood and one step of expectation–maximisation.

Everything is in unit scales, z ~ N(0, I). Letters: o the observed entries of a row, A (d, k) the loadings, δ the noise,
M = I + A_oᵀ A_o / δ the precision of z given x_o. All rows of a block are treated at once: their M are one product of
the mask with d × k² numbers, whatever the patterns.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

BLOCK = 2**21  # numbers in the posterior covariances of a block of rows: 16 MB


class Model(NamedTuple):
    """Parameters: mean (d,), loadings A (d, k) and noise δ."""

    mean: Matrix
    loadings: Matrix
    noise: float


class Rows(NamedTuple):
    """Values (n, d), 0 where an entry is missing, and where they were seen (n, d): 1 or 0."""

    values: Matrix
    seen: Matrix

    def blocks(self, latent_dim: int) -> "Iterator[Rows]":
        """Cut into blocks of rows whose posterior covariances fill a bounded memory."""
        size = max(1, BLOCK // latent_dim**2)
        for first in range(0, len(self.values), size):
            yield Rows(self.values[first : first + size], self.seen[first : first + size])


class Inferred(NamedTuple):
    """Of each row: mean (n, k) and covariance (n, k, k) of z, ‖(x − mean − A z)_o‖² (n,), and log p(x_o) (n,)."""

    means: Matrix
    covariances: Matrix
    missed: Matrix
    log_likelihoods: Matrix


def infer(rows: Rows, model: Model) -> Inferred:
    """Exact posterior of z given the observed entries, and their log-density in nats.

    Source: Tipping and Bishop (1999), eq. 4 and 6, for the rows x_o of x and A_o of A.
    """
    x, seen = rows
    mean, A, delta = model
    d, k = A.shape
    # M = I + A_oᵀ A_o / δ
    squares = (A[:, :, None] * A[:, None, :]).reshape(d, k * k)
    M = (seen @ squares).reshape(-1, k, k) / delta + np.eye(k)
    factor = np.linalg.cholesky(M)
    inverse = np.linalg.inv(factor)
    covariances = inverse.mT @ inverse
    # z = M⁻¹ A_oᵀ (x − mean)_o / δ
    deviations = x - seen * mean
    means = (covariances @ (deviations @ A / delta)[:, :, None])[:, :, 0]
    # log |A_o A_oᵀ + δ I| = log |M| + |o| log δ
    entries = seen.sum(axis=1)
    volume = 2 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1) + entries * np.log(delta)
    # (x − mean)_oᵀ (A_o A_oᵀ + δ I)⁻¹ (x − mean)_o = ‖(x − mean − A z)_o‖² / δ + ‖z‖²
    missed = ((deviations - seen * (means @ A.T)) ** 2).sum(axis=1)
    distance = missed / delta + (means**2).sum(axis=1)
    return Inferred(means, covariances, missed, -(entries * np.log(2 * np.pi) + volume + distance) / 2)


class Moments(NamedTuple):
    """What one pass over the rows says of a model: enough for the next one.

    With ẑ = (z, 1): ``second`` (d, k + 1, k + 1) and ``cross`` (d, k + 1) are the sums of E[ẑ ẑᵀ] and x E[ẑ] over the
    rows in which a feature was seen, ``total`` (k + 1, k + 1) that of E[ẑ ẑᵀ] over all rows; ``error`` is the sum of
    E‖(x − mean − A z)_o‖², ``log_likelihood`` that of log p(x_o), in nats.
    """

    second: Matrix
    cross: Matrix
    total: Matrix
    error: float
    log_likelihood: float


def moments(rows: Rows, model: Model) -> Moments:
    """E-step over all rows, in bounded memory."""
    d, k = model.loadings.shape
    second, cross, total = np.zeros((d, k + 1, k + 1)), np.zeros((d, k + 1)), np.zeros((k + 1, k + 1))
    error = log_likelihood = 0.0
    for block in rows.blocks(k + 1):
        z, covariances, missed, log_likelihoods = infer(block, model)
        augmented = np.concatenate([z, np.ones((len(z), 1))], axis=1)
        outer = augmented[:, :, None] * augmented[:, None, :]
        outer[:, :k, :k] += covariances
        second += (block.seen.T @ outer.reshape(len(z), -1)).reshape(second.shape)
        cross += block.values.T @ augmented
        total += outer.sum(axis=0)
        # E‖A_o (z − E z)‖² = tr(A_oᵀ A_o M⁻¹) = δ tr(I − M⁻¹)
        jitter = model.noise * (k * len(z) - np.trace(covariances, axis1=1, axis2=2).sum())
        error += float(missed.sum() + jitter)
        log_likelihood += float(log_likelihoods.sum())
    return Moments(second, cross, total, error, log_likelihood)


def improved(model: Model, found: Moments, least_noise: float | None) -> Model:
    """M-step: the model of greatest expected likelihood, mean and covariance of z fitted, too, and then absorbed.

    Parameters
    ----------
    model : Model
        What the moments were taken with.
    found : Moments
        Of all rows.
    least_noise : float or None
        Floor of a learned δ; None to hold δ still.

    Notes
    -----
    Every feature is regressed on ẑ = (z, 1) over the rows in which it was seen: Ilin and Raiko (2010), §3.2. The
    expanded model z ~ N(ν, Ω) of Liu, Rubin and Wu (1998) then becomes z ~ N(0, I) with loadings A Ω^½, mean + A ν.
    """
    k = model.loadings.shape[1]
    coefficients = np.linalg.solve(found.second, found.cross[:, :, None])[:, :, 0]
    delta = model.noise
    if least_noise is not None:
        # a square is less at its minimum by that of the way there
        way = coefficients - np.column_stack([model.loadings, model.mean])
        gain = np.sum((found.second @ way[:, :, None])[:, :, 0] * way)
        delta = max((found.error - float(gain)) / float(found.second[:, k, k].sum()), least_noise)
    nu = found.total[:k, k] / found.total[k, k]
    Omega = found.total[:k, :k] / found.total[k, k] - np.outer(nu, nu)
    A = coefficients[:, :k]
    return Model(coefficients[:, k] + A @ nu, A @ np.linalg.cholesky(Omega), delta)
