"""The procedures that need the covariance alone: the closed form, and four that climb to it."""

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from theodolite.linear_vae.climb import climb
from theodolite.linear_vae.config import LinearVAEConfig
from theodolite.linear_vae.dataset import Summary
from theodolite.linear_vae.spectra import from_covariance
from theodolite.theory import elbo, ppca

CLIMBS = ("em", "px-em", "lbfgs", "adam")


class Solved(NamedTuple):
    """Weights, how far their ELBO was below the greatest before and after each pass (nats), and seconds."""

    weights: elbo.Weights
    gaps: NDArray[np.float64]
    seconds: float


def solve(method: str, config: LinearVAEConfig, summary: Summary, *, max_iter: int, seed: int) -> Solved:
    """Fit by ``closed-form`` or one of `CLIMBS`, to the tolerance of the settings or for `max_iter` passes."""
    began, k = time.monotonic(), config.latent_dim
    if method in CLIMBS:
        found = climb(
            method,  # type: ignore[arg-type]  # one of the four
            summary.covariance,
            k,
            noise_variance=config.noise_variance,
            prior_variance=config.prior_scale**2,
            max_iter=max_iter,
            tol=config.tolerance,
            seed=seed,
        )
        return Solved(found.weights, found.gaps, time.monotonic() - began)
    spectrum = from_covariance(summary.mean, summary.covariance, k).spectrum
    noise = config.noise_variance or ppca.learned_noise_variance(spectrum.eigenvalues, k)
    weights = ppca.optimum(spectrum, k, noise, config.prior_scale**2)
    seconds = time.monotonic() - began
    gap = greatest_elbo(config, summary) - elbo.elbo(summary.covariance, weights)
    return Solved(weights, np.array([gap]), seconds)


def greatest_elbo(config: LinearVAEConfig, summary: Summary) -> float:
    """Greatest ELBO that any linear VAE of these settings has on the training samples, in nats per sample."""
    eigenvalues = ppca.eigenvalues(summary.covariance)
    noise = config.noise_variance or ppca.learned_noise_variance(eigenvalues, config.latent_dim)
    return ppca.greatest_elbo(eigenvalues, config.latent_dim, noise)
