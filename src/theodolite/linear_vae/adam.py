"""Adam on the exact ELBO, full batch: every parameter of the linear VAE, every gradient by its formula.

The parameters are those of the `model` module: U, W, the Cholesky factor L of Σ with the logarithm of its diagonal, and
log δ, in units of the data's and of the prior's scale. R as in `em`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from theodolite.linear_vae.em import Matrix

LEARNING_RATE, MEAN_DECAY, SQUARE_DECAY = 0.05, 0.9, 0.999
TINY = 1e-12  # keeps 0 / 0 from a gradient that has always been zero


class Parameters(NamedTuple):
    """U (d, k), W (k, d), L below its diagonal with log of its diagonal (k, k), and log δ."""

    decoder: Matrix
    encoder: Matrix
    factor: Matrix
    log_noise: NDArray[np.float64]

    @property
    def encoder_factor(self) -> Matrix:
        """L, the Cholesky factor of the encoder's covariance."""
        return np.asarray(np.tril(self.factor, -1) + np.diag(np.exp(np.diag(self.factor))))


def value_and_gradient(rows: Matrix, parameters: Parameters) -> tuple[float, Parameters]:
    """ELBO in nats per sample, prior N(0, I), and its derivative by each parameter; no d × d matrix is formed.

    Parameters
    ----------
    rows : (r, d) array
        R, with Rᵀ R the covariance of the data.
    parameters : Parameters
        Of the linear VAE.
    """
    R, (U, W, factor, log_noise) = rows, parameters
    d, k = U.shape
    L, delta = parameters.encoder_factor, float(np.exp(log_noise))
    codes = R @ W.T
    missed, UL = R - codes @ U.T, U @ L
    error = np.sum(missed**2) + np.sum(UL**2)  # E‖x − U z‖²
    size = np.sum(codes**2) + np.sum(L**2)  # E‖z‖²
    elbo = -(d * (np.log(2 * np.pi) + log_noise) + error / delta + size - k) / 2 + np.trace(factor)
    by_factor = np.tril(-(U.T @ UL) / delta - L)
    # the diagonal of L through its logarithm, and log |L| itself
    np.fill_diagonal(by_factor, np.diag(by_factor) * np.diag(L) + 1)
    return float(elbo), Parameters(
        decoder=(missed.T @ codes - UL @ L.T) / delta,
        encoder=(missed @ U / delta - codes).T @ R,
        factor=by_factor,
        log_noise=np.asarray(-d / 2 + error / (2 * delta)),
    )


def ascend(rows: Matrix, start: Parameters, *, least_noise: float | None) -> Iterator[tuple[float, Parameters]]:
    """Climb the ELBO without end: the start, then the parameters after each step, with the ELBO of each.

    Parameters
    ----------
    rows : (r, d) array
        R, with Rᵀ R the covariance of the data.
    start : Parameters
        Where to start.
    least_noise : float or None
        Floor of a learned δ; None to hold δ still.

    Notes
    -----
    Kingma and Ba (2015), algorithm 1, divided by the greatest mean square so far (Reddi, Kale and Kumar 2018): without
    that, steps that have become small lengthen again, and the ascent falls off the optimum it has reached.
    """
    at, means, squares, greatest = start, *([np.zeros_like(p) for p in start] for _ in range(3))
    step = 0
    while True:
        elbo, gradient = value_and_gradient(rows, at)
        yield elbo, at
        step += 1
        moved = []
        for place, (parameter, slope) in enumerate(zip(at, gradient, strict=True)):
            means[place] = MEAN_DECAY * means[place] + (1 - MEAN_DECAY) * slope
            squares[place] = SQUARE_DECAY * squares[place] + (1 - SQUARE_DECAY) * slope**2
            greatest[place] = np.maximum(greatest[place], squares[place] / (1 - SQUARE_DECAY**step))
            stride = means[place] / (1 - MEAN_DECAY**step) / (np.sqrt(greatest[place]) + TINY)
            moved.append(parameter + LEARNING_RATE * stride)
        log_noise = at.log_noise if least_noise is None else np.maximum(moved[3], np.log(least_noise))
        at = Parameters(moved[0], moved[1], moved[2], log_noise)
