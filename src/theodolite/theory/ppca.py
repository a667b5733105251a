"""Probabilistic PCA: the best linear VAE there is, read off the spectrum of the data.

Letters: λ_1 ≥ λ_2 ≥ … the eigenvalues of the covariance S, v_j its eigenvectors; d, k, δ and ε as in `elbo`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theodolite.theory.elbo import Weights

NOISE_FLOOR = 1e-8  # of the mean variance: the least noise, where the data would allow none


class Spectrum(NamedTuple):
    """Mean (d,), eigenvalues (d,) in decreasing order, and eigenvectors (d, r) of the first r = min(n, d)."""

    mean: NDArray[np.float64]
    eigenvalues: NDArray[np.float64]
    eigenvectors: NDArray[np.float64]


def eigenvalues(covariance: ArrayLike) -> NDArray[np.float64]:
    """Eigenvalues of a covariance (d, d), in decreasing order and in its unit; none is negative.

    Holds when: the covariance is symmetric. Those below 1e-16 of the largest are rounding.

    Source: Jolliffe (2002), *Principal Component Analysis*, §3.5.
    """
    return np.asarray(np.maximum(np.linalg.eigvalsh(np.asarray(covariance, float))[::-1], 0))


def spectrum(samples: ArrayLike, ddof: int = 0) -> Spectrum:
    """Eigenvalues and eigenvectors of the covariance of samples (n, d), in squared units of the data.

    Holds when: n > ddof, which is the divisor. Eigenvalues below 1e-16 of the largest are rounding; none is negative.

    Source: Jolliffe (2002), *Principal Component Analysis*, §3.5.
    """
    X = np.asarray(samples, float)
    mean = X.mean(axis=0)
    n, d = X.shape
    centred = X - mean
    if n >= d:
        values, vectors = np.linalg.eigh(centred.T @ centred / (n - ddof))
        return Spectrum(mean, np.maximum(values[::-1], 0), _signed(vectors[:, ::-1]))
    # fewer samples than dimensions: only n eigenvalues can differ from zero
    _, singular, rows = np.linalg.svd(centred, full_matrices=False)
    return Spectrum(mean, np.concatenate([singular**2 / (n - ddof), np.zeros(d - n)]), _signed(rows.T))


def _signed(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn each column so that its largest entry is positive: the same on every machine."""
    largest = np.abs(vectors).argmax(axis=0)
    return np.asarray(vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])]))


def noise_floor(eigenvalues: ArrayLike) -> float:
    """Least noise variance that is fitted, in squared units of the data: 1e-8 of the mean eigenvalue.

    Holds when: not all eigenvalues are zero. Without a floor the likelihood has no maximum where rank(S) ≤ k, and δ is
    undetermined where k = d.

    Source: a choice, stated in ``docs/answers/q2.md``.
    """
    return float(NOISE_FLOOR * np.mean(np.asarray(eigenvalues, float)))


def learned_noise_variance(eigenvalues: ArrayLike, latent_dim: int) -> float:
    """Decoder variance δ* of greatest likelihood, in squared units of the data: the mean of the left-out eigenvalues.

    Holds when: the eigenvalues are all d of them, in decreasing order; kept above `noise_floor`.

    Source: Tipping and Bishop (1999), eq. 8.
    """
    left_out = np.asarray(eigenvalues, float)[latent_dim:]
    floor = noise_floor(eigenvalues)
    return max(float(left_out.mean()), floor) if left_out.size else floor


def active_dimensions(eigenvalues: ArrayLike, latent_dim: int, noise_variance: float) -> int:
    """Count of latent dimensions that do not collapse at the optimum: the λ_j > δ among the first k.

    Holds when: the eigenvalues are in decreasing order.

    Source: Lucas et al. (2019), §4; Tipping and Bishop (1999), appendix A.
    """
    return int(np.sum(np.asarray(eigenvalues, float)[:latent_dim] > noise_variance))


def kl_per_dimension(eigenvalues: ArrayLike, latent_dim: int, noise_variance: float) -> NDArray[np.float64]:
    """Divergence of each latent dimension from the prior at the optimum, in nats per sample: ½ log(λ_j / δ).

    Holds when: the latent axes are the eigenvectors (any rotation of z has the same sum); 0 where λ_j ≤ δ; any ε.

    Source: derived in ``docs/answers/q2.md``, Q2.a.
    """
    kept = np.asarray(eigenvalues, float)[:latent_dim]
    return np.asarray(np.log(np.maximum(kept, noise_variance) / noise_variance) / 2)


def greatest_elbo(eigenvalues: ArrayLike, latent_dim: int, noise_variance: float) -> float:
    """Greatest ELBO of any linear VAE with this noise, in nats per sample; the log-likelihood there is the same.

    Holds when: the eigenvalues are all d of them, in decreasing order; whatever ε is.

    Source: Tipping and Bishop (1999), eq. 4 and 7; Lucas et al. (2019), §4: ELBO and likelihood have one maximum.
    """
    lam, delta = np.asarray(eigenvalues, float), noise_variance
    q = active_dimensions(lam, latent_dim, delta)
    # Σ over active (log λ_j + 1)
    seen = np.sum(np.log(lam[:q]) + 1)
    # (d − q) log δ + Σ over the rest λ_j / δ
    unseen = (len(lam) - q) * np.log(delta) + np.sum(lam[q:]) / delta
    return float(-(len(lam) * np.log(2 * np.pi) + seen + unseen) / 2)


def optimum(data: Spectrum, latent_dim: int, noise_variance: float, prior_variance: float) -> Weights:
    """Weights of the best linear VAE: U (d, k), W (k, d), Σ (k, k), with δ and ε as given.

    Holds when: k ≤ d. Unique up to a rotation of z; collapsed dimensions have zero columns.

    Source: Tipping and Bishop (1999), eq. 7; for the VAE Lucas et al. (2019), §4; any ε by the symmetry z → c z.
    """
    delta, epsilon = noise_variance, prior_variance
    q = active_dimensions(data.eigenvalues, latent_dim, delta)
    lam, V = data.eigenvalues[:q], data.eigenvectors[:, :q]
    U = np.zeros((len(data.mean), latent_dim))
    W = U.T.copy()
    # U = V diag √((λ_j − δ) / ε)
    U[:, :q] = V * np.sqrt((lam - delta) / epsilon)
    # W = diag(√(ε (λ_j − δ)) / λ_j) Vᵀ
    W[:q] = (V * (np.sqrt(epsilon * (lam - delta)) / lam)).T
    # Σ = diag(ε δ / max(λ_j, δ))
    Sigma = np.diag(np.concatenate([epsilon * delta / lam, np.full(latent_dim - q, epsilon)]))
    return Weights(U, W, Sigma, delta, epsilon)


def log_density(
    samples: ArrayLike, decoder: ArrayLike, noise_variance: float, prior_variance: float
) -> NDArray[np.float64]:
    """Logarithm of the model's density N(0, ε U Uᵀ + δ I) at each sample, in nats; samples (n, d), result (n,).

    Holds when: the samples have the mean subtracted; δ, ε > 0. Nothing of size d × d is formed, and nothing is lost
    where δ is small beside the data: xᵀ C⁻¹ x is the least ‖x − U z‖² / δ + ‖z‖² / ε, two terms that are not negative.

    Source: Tipping and Bishop (1999), eq. 4 and 6, there for ε = 1; the least value by completing the square in z.
    """
    X, delta, epsilon = np.asarray(samples, float), noise_variance, prior_variance
    vectors, s, _ = np.linalg.svd(np.asarray(decoder, float), full_matrices=False)
    d, k = vectors.shape
    along = X @ vectors
    # z, along the axes of U: s (s² + δ/ε)⁻¹ v·x
    z = along * (s / (s**2 + delta / epsilon))
    # ‖x − U z‖² / δ + ‖z‖² / ε
    distance = ((X - (z * s) @ vectors.T) ** 2).sum(axis=1) / delta + (z**2).sum(axis=1) / epsilon
    # log |C| = Σ log(ε s² + δ) + (d − k) log δ
    volume = np.log(epsilon * s**2 + delta).sum() + (d - k) * np.log(delta)
    return np.asarray(-(d * np.log(2 * np.pi) + volume + distance) / 2)
