"""How the estimator is fitted: which way for which data, each ending in the weights, the mean and the course."""

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from theodolite.data.rows import Rows
from theodolite.linear_vae.climb import climb
from theodolite.linear_vae.missing import fit_missing
from theodolite.linear_vae.moments import Moments
from theodolite.linear_vae.spectra import from_covariance, leading
from theodolite.theory import ppca
from theodolite.theory.elbo import Weights

Matrix = NDArray[Any]
Float64 = NDArray[np.float64]

ROUNDING = 1e-6  # relative: two ways to the floor of the noise differ by less


@dataclass(frozen=True)
class Wish:
    """What is to be fitted and how: the estimator's parameters, checked; `noise_variance` None to learn it."""

    latent_dim: int
    noise_variance: float | None
    prior_scale: float
    method: str
    max_iter: int
    tol: float
    batch_size: int
    ddof: int
    seed: int


class Fit(NamedTuple):
    """Weights, mean (d,), course (passes + 1,) or empty, and the moments of the data where they were formed."""

    weights: Weights
    mean: Float64
    history: Float64
    moments: Moments | None


def fit_rows(rows: Rows, wish: Wish) -> Fit:
    """Fit to rows that can be read more than once.

    Raises
    ------
    ValueError
        If a number is not finite, or nothing varies.
    """
    if wish.method == "closed-form":
        found = leading(rows, wish.latent_dim, ddof=wish.ddof)
        return _closed_form(found.spectrum, wish, found.moments)
    moments = Moments(rows.shape[1])
    for block in rows.blocks():
        moments.add(block)
    return _by_draws(rows, moments, wish) if wish.method == "reparametrised" else fit_moments(moments, wish)


def fit_moments(moments: Moments, wish: Wish) -> Fit:
    """Fit to moments, by the closed form or up the ELBO of their covariance."""
    covariance = moments.covariance(wish.ddof)
    _require_variation(float(np.trace(covariance)))
    if wish.method == "closed-form":
        return _closed_form(from_covariance(moments.mean, covariance, wish.latent_dim).spectrum, wish, moments)
    found = climb(
        wish.method,  # type: ignore[arg-type]  # one of the four: the others are fitted elsewhere
        covariance,
        wish.latent_dim,
        noise_variance=wish.noise_variance,
        prior_variance=wish.prior_scale**2,
        max_iter=wish.max_iter,
        tol=wish.tol,
        seed=wish.seed,
    )
    if not found.converged:
        left = f"{found.gaps[-1]:.2g} nats per sample below the maximum after max_iter={wish.max_iter} passes"
        _warn(f"{wish.method} is still {left}; raise max_iter or tol")
    if wish.noise_variance is None:
        d = len(covariance)
        _warn_of_no_maximum(found.weights.noise_variance, float(np.trace(covariance)) / d, wish.latent_dim, d)
    return Fit(found.weights, moments.mean, found.gaps, moments)


def fit_gaps(samples: Matrix, wish: Wish) -> Fit:
    """Fit to samples (n, d) of which some entries are NaN, by exact EM whatever the method."""
    found = fit_missing(
        samples,
        wish.latent_dim,
        noise_variance=wish.noise_variance,
        prior_variance=wish.prior_scale**2,
        max_iter=wish.max_iter,
        tol=wish.tol,
    )
    if not found.converged:
        _warn(f"EM still gains more than tol={wish.tol:g} nats per sample after max_iter={wish.max_iter} passes")
    if wish.noise_variance is None:
        variance = float(np.nanmean((samples - np.nanmean(samples, axis=0, dtype=float)) ** 2))
        _warn_of_no_maximum(found.weights.noise_variance, variance, wish.latent_dim, samples.shape[1])
    return Fit(found.weights, found.mean, found.log_likelihoods, None)


def _closed_form(spectrum: ppca.Spectrum, wish: Wish, moments: Moments | None) -> Fit:
    _require_variation(spectrum.eigenvalues[0])
    noise, k = wish.noise_variance, wish.latent_dim
    if noise is None:
        noise = ppca.learned_noise_variance(spectrum.eigenvalues, k)
        _warn_of_no_maximum(noise, float(np.mean(spectrum.eigenvalues)), k, len(spectrum.mean))
    weights = ppca.optimum(spectrum, k, noise, wish.prior_scale**2)
    return Fit(weights, spectrum.mean, np.empty(0), moments)


def _by_draws(rows: Rows, moments: Moments, wish: Wish) -> Fit:
    # torch is loaded here, so that all else can do without it
    from theodolite.linear_vae.ascent import ascend
    from theodolite.linear_vae.dataset import Summary

    summary = Summary(moments.count, moments.mean, moments.covariance())
    _require_variation(float(np.trace(summary.covariance)))
    found = ascend(
        lambda ids: np.asarray(rows.take(ids), np.float64) - summary.mean,
        summary,
        wish.latent_dim,
        noise_variance=wish.noise_variance,
        prior_scale=wish.prior_scale,
        passes=wish.max_iter,
        batch_size=wish.batch_size,
        seed=wish.seed,
    )
    return Fit(found.weights, summary.mean, found.gaps, moments)


def _require_variation(variance: float) -> None:
    if not variance > 0:
        raise ValueError("the samples are all equal; there is nothing to model")


def _warn_of_no_maximum(noise: float, variance: float, k: int, d: int) -> None:
    """Warn where the learned noise stands on its floor; with k = d that is no sign, for any less would do as well."""
    if k < d and noise <= ppca.NOISE_FLOOR * variance * (1 + ROUNDING):
        warnings.warn(
            f"beyond {k} dimensions the samples vary by less than {ppca.NOISE_FLOOR:g} of their mean variance, as if "
            f"their likelihood had no maximum; the noise is kept at {noise:.2g}: look for outliers, take fewer "
            "components, or give a noise",
            RuntimeWarning,
            stacklevel=5,
        )


def _warn(message: str) -> None:
    warnings.warn(message, ConvergenceWarning, stacklevel=4)
