"""Expectation–maximisation whose hidden data are the missing entries alone: the step up is the closed form.

Less is hidden than where z is hidden, too (`incomplete`), so fewer iterations are needed; each costs the cube of the
number of entries that a row lacks. Letters: m the missing entries of a row, o the others, K = C⁻¹ the precision of x
under the model. Everything is in unit scales, z ~ N(0, I).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from theodolite.linear_vae.incomplete import Matrix, Model, Rows
from theodolite.theory import ppca

BLOCK = 2**21  # numbers in the covariances of the missing entries of a block of rows: 16 MB


class Filled(NamedTuple):
    """Expected first and second moments of the rows, had they been complete, and log p(x_o), summed, in nats."""

    mean: Matrix
    covariance: Matrix
    log_likelihood: float


def fill(rows: Rows, model: Model) -> Filled:
    """E-step: E[x_m | x_o] = mean_m − K_mm⁻¹ K_mo (x − mean)_o, with covariance K_mm⁻¹.

    Source: Dempster, Laird and Rubin (1977), §4.1; Anderson (2003), theorem 2.5.1, by the precision.
    """
    n, d = rows.values.shape
    directions, s, _ = np.linalg.svd(model.loadings, full_matrices=True)
    variances = np.full(d, model.noise)
    variances[: len(s)] += s**2
    K = (directions / variances) @ directions.T
    x = rows.values - rows.seen * model.mean
    pull = x @ K
    scatter = np.zeros(d * d)
    volume = n * np.log(variances).sum()  # Σ log |C_oo| = Σ (log |C| + log |K_mm|)
    for block, m in _equally_many_missing(rows.seen):
        K_mm = K[m[:, :, None], m[:, None, :]]
        covariances = np.linalg.inv(K_mm)
        x[block[:, None], m] = -(covariances @ pull[block[:, None], m][:, :, None])[:, :, 0]
        scatter += np.bincount(
            (m[:, :, None] * d + m[:, None, :]).ravel(), weights=covariances.ravel(), minlength=d * d
        )
        volume += np.linalg.slogdet(K_mm)[1].sum()
    # (x − mean)_oᵀ C_oo⁻¹ (x − mean)_o is (x − mean)ᵀ K (x − mean) of the filled row
    distance = np.sum((x @ directions) ** 2 / variances)
    shift = x.mean(axis=0)
    centred = x - shift
    covariance = (centred.T @ centred + scatter.reshape(d, d)) / n
    log_likelihood = -(rows.seen.sum() * np.log(2 * np.pi) + volume + distance) / 2
    return Filled(model.mean + shift, covariance, float(log_likelihood))


def refitted(filled: Filled, latent_dim: int, noise: float | None) -> Model:
    """M-step: the closed form for the expected moments; δ as given, or learned where it is None, above the floor.

    Source: Tipping and Bishop (1999), eq. 7 f.
    """
    values, vectors = np.linalg.eigh(filled.covariance)
    kept, left_out = values[::-1][:latent_dim], values[::-1][latent_dim:]
    delta = max(float(left_out.sum()) / max(left_out.size, 1), ppca.NOISE_FLOOR) if noise is None else noise
    return Model(filled.mean, vectors[:, ::-1][:, :latent_dim] * np.sqrt(np.maximum(kept - delta, 0)), delta)


def _equally_many_missing(seen: Matrix) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows (b,) that lack the same number of entries, and which those are (b, m); block by block."""
    lacking = seen.shape[1] - seen.sum(axis=1).astype(int)
    for m in np.unique(lacking[lacking > 0]):
        same = np.flatnonzero(lacking == m)
        size = max(1, BLOCK // m**2)
        for first in range(0, len(same), size):
            block = same[first : first + size]
            yield block, np.nonzero(seen[block] == 0)[1].reshape(len(block), m)
