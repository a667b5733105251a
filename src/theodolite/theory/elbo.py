"""The evidence lower bound of the linear VAE, exactly: value, terms, gradients and distance from the likelihood.

The model, for data of mean zero and covariance S (divisor n), as in ``docs/answers/q2.md``::

    prior    p(z)   = N(0, ε I)       encoder  q(z|x) = N(W x, Σ)       decoder  p(x|z) = N(U z, δ I)

Letters: d data dimensions, k latent ones, δ = η_d² the decoder's variance, ε = η_e² the prior's. Every value is an
average over the data, in nats per sample.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]


class Weights(NamedTuple):
    """The numbers that a linear VAE consists of: U (d, k), W (k, d), Σ (k, k), δ and ε."""

    decoder: Matrix
    encoder: Matrix
    encoder_covariance: Matrix
    noise_variance: float
    prior_variance: float


class Terms(NamedTuple):
    """The summands of the ELBO, in nats per sample; the first three are reconstruction, the last three minus the KL."""

    normaliser: float
    residual: float
    jitter: float
    code: float
    width: float
    volume: float


def terms(covariance: ArrayLike, weights: Weights) -> Terms:
    """Summands of the ELBO, in nats per sample.

    Holds when: the data have mean zero and this covariance; Σ is positive definite; δ, ε > 0.

    Source: derived in ``docs/answers/q2.md``, Q2.a; for diagonal Σ and ε = 1, Lucas et al. (2019), §4.
    """
    S = np.asarray(covariance, float)
    U, W = weights.decoder, weights.encoder
    WS = W @ S
    # E‖x − U W x‖² = tr(A S Aᵀ) with A = I − U W,  E‖W x‖² = tr(W S Wᵀ)
    residual, code = np.sum((S - U @ WS) * (np.eye(len(S)) - U @ W)), np.sum(WS * W)
    return Terms(*(float(term) for term in _terms(residual, code, weights)))


def elbo(covariance: ArrayLike, weights: Weights) -> float:
    """Evidence lower bound averaged over the data, in nats per sample; never above `log_likelihood`.

    Holds when: as for `terms`.

    Source: derived in ``docs/answers/q2.md``, Q2.a.
    """
    return float(sum(terms(covariance, weights)))


def elbo_per_sample(samples: ArrayLike, weights: Weights) -> NDArray[np.float64]:
    """Evidence lower bound of each sample, in nats; samples (n, d), already centred; result (n,).

    Holds when: Σ is positive definite; δ, ε > 0.

    Source: derived in ``docs/answers/q2.md``, Q2.a.
    """
    X = np.asarray(samples, float)
    codes = X @ weights.encoder.T
    residual = ((X - codes @ weights.decoder.T) ** 2).sum(axis=1)
    return sum(_terms(residual, (codes**2).sum(axis=1), weights), start=np.zeros(len(X)))


def _terms(residual: ArrayLike, code: ArrayLike, weights: Weights) -> tuple[Any, ...]:
    """Assemble the ELBO from the squared residual and the squared code, of one sample or averaged over many."""
    U, _, Sigma, delta, epsilon = weights
    d, k = U.shape
    return (
        # −(d/2) log 2πδ
        -d / 2 * np.log(2 * np.pi * delta),
        # −‖x − U W x‖² / 2δ
        -np.asarray(residual) / (2 * delta),
        # −tr(U Σ Uᵀ) / 2δ
        -np.sum((U @ Sigma) * U) / (2 * delta),
        # −‖W x‖² / 2ε
        -np.asarray(code) / (2 * epsilon),
        # −tr Σ / 2ε
        -np.trace(Sigma) / (2 * epsilon),
        # ½ (k + log |Σ| − k log ε)
        (k + np.linalg.slogdet(Sigma)[1] - k * np.log(epsilon)) / 2,
    )


def gradients(covariance: ArrayLike, weights: Weights) -> Weights:
    """Derivatives of the ELBO by U, W, Σ, δ and ε, each of the shape of what it is the derivative by.

    Holds when: as for `terms`; the entries of Σ count as independent.

    Source: derived in ``docs/answers/q2.md``, Q2.b.
    """
    S = np.asarray(covariance, float)
    U, W, Sigma, delta, epsilon = weights
    d, k = U.shape
    A = np.eye(d) - U @ W
    # E‖x − U z‖² and E‖z‖², over data and encoder
    error = np.sum((A @ S) * A) + np.sum((U @ Sigma) * U)
    size = np.sum((W @ S) * W) + np.trace(Sigma)
    return Weights(
        # (S Wᵀ − U (W S Wᵀ + Σ)) / δ
        decoder=(S @ W.T - U @ (W @ S @ W.T + Sigma)) / delta,
        # Uᵀ (S − U W S) / δ − W S / ε
        encoder=U.T @ A @ S / delta - W @ S / epsilon,
        # ½ (Σ⁻¹ − Uᵀ U / δ − I / ε)
        encoder_covariance=(np.linalg.inv(Sigma) - U.T @ U / delta - np.eye(k) / epsilon) / 2,
        # −d / 2δ + E‖x − U z‖² / 2δ²
        noise_variance=float(-d / (2 * delta) + error / (2 * delta**2)),
        # −k / 2ε + E‖z‖² / 2ε²
        prior_variance=float(-k / (2 * epsilon) + size / (2 * epsilon**2)),
    )


def posterior(decoder: ArrayLike, noise_variance: float, prior_variance: float) -> tuple[Matrix, Matrix]:
    """Exact posterior p(z|x) = N(W* x, Σ*) of a decoder: W* (k, d) and Σ* (k, k).

    Holds when: δ, ε > 0.

    Source: Bishop (2006), eq. 2.116 f.; Tipping and Bishop (1999), eq. 6, there for ε = 1.
    """
    U = np.asarray(decoder, float)
    # Σ* = (Uᵀ U / δ + I / ε)⁻¹
    Sigma = np.linalg.inv(U.T @ U / noise_variance + np.eye(U.shape[1]) / prior_variance)
    # W* = Σ* Uᵀ / δ
    return Sigma @ U.T / noise_variance, Sigma


def log_likelihood(covariance: ArrayLike, decoder: ArrayLike, noise_variance: float, prior_variance: float) -> float:
    """Logarithm of the model's density averaged over the data, in nats per sample.

    Holds when: the data have mean zero and this covariance; δ > 0.

    Source: Tipping and Bishop (1999), eq. 4, there for ε = 1.
    """
    S, U = np.asarray(covariance, float), np.asarray(decoder, float)
    # C = ε U Uᵀ + δ I, the covariance of x under the model
    C = prior_variance * U @ U.T + noise_variance * np.eye(len(U))
    # −½ (d log 2π + log |C| + tr(C⁻¹ S))
    return float(-(len(U) * np.log(2 * np.pi) + np.linalg.slogdet(C)[1] + np.trace(np.linalg.solve(C, S))) / 2)


def gap(covariance: ArrayLike, weights: Weights) -> float:
    """Likelihood less ELBO, in nats per sample: the divergence of the encoder from the exact posterior, averaged.

    Holds when: as for `terms`. Zero where the encoder is the exact posterior, positive elsewhere.

    Source: derived in ``docs/answers/q2.md``, Q2.a.
    """
    U, W, Sigma, delta, epsilon = weights
    best, _ = posterior(U, delta, epsilon)
    P = U.T @ U / delta + np.eye(len(W)) / epsilon  # Σ*⁻¹
    D = W - best
    # ½ (tr(Σ*⁻¹ Σ) − k − log |Σ*⁻¹ Σ|)
    shape = np.trace(P @ Sigma) - len(W) - np.linalg.slogdet(P @ Sigma)[1]
    # ½ tr((W − W*)ᵀ Σ*⁻¹ (W − W*) S)
    shift = np.sum((P @ D @ np.asarray(covariance, float)) * D)
    return float((shape + shift) / 2)
