"""Four ways up the ELBO from a covariance, each measured against the greatest value there is."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from theodolite.linear_vae import adam, em, quasi_newton
from theodolite.theory import ppca
from theodolite.theory.elbo import Weights

Method = Literal["em", "px-em", "lbfgs", "adam"]
Matrix = NDArray[np.float64]

NEGLIGIBLE = 1e-16  # of the largest eigenvalue: rounding


class Climb(NamedTuple):
    """What a procedure arrived at.

    ``gaps`` (iterations + 1,) holds how far the ELBO was below the greatest one, in nats per sample, at the start and
    after each iteration; ``weights`` are those of the last; ``converged`` says whether its gap is within the tolerance,
    and never where the noise is so far below the data that rounding alone may be more than that.
    """

    weights: Weights
    gaps: NDArray[np.float64]
    converged: bool


def climb(
    method: Method,
    covariance: Matrix,
    latent_dim: int,
    *,
    noise_variance: float | None,
    prior_variance: float,
    max_iter: int,
    tol: float,
    seed: int,
) -> Climb:
    """Fit a linear VAE step by step, from a random start to within `tol` of the greatest ELBO.

    Parameters
    ----------
    method : {"em", "px-em", "lbfgs", "adam"}
        ``em``: expectation–maximisation; ``px-em``: the same, parameter-expanded; ``lbfgs``: over the subspace alone,
        all else eliminated; ``adam``: over U, W, Σ and δ. An iteration is one evaluation of what the method climbs,
        of d² k operations: what one pass over the data would give it.
    covariance : (d, d) array
        S, symmetric, without negative eigenvalues beyond rounding.
    latent_dim : int
        k, from 1 to d.
    noise_variance : float or None
        δ = η_d²; None to learn it, not below `theory.ppca.noise_floor`.
    prior_variance : float
        ε = η_e².
    max_iter : int
        Iterations at most.
    tol : float
        Gap to the greatest ELBO at which to stop, in nats per sample.
    seed : int
        Of the random start.

    Returns
    -------
    Climb

    Raises
    ------
    ValueError
        If the covariance is zero and the noise is to be learned: the likelihood has no greatest value.
    """
    d, k = len(covariance), latent_dim
    scale = float(np.trace(covariance)) / d
    if scale <= 0:
        if noise_variance is None:
            raise ValueError("the data do not vary, so their noise cannot be learned; give noise_variance")
        scale = noise_variance
    values, vectors = np.linalg.eigh(covariance / scale)
    values = np.where(values[::-1] > NEGLIGIBLE * values[-1], values[::-1], 0)
    rows = (vectors[:, ::-1] * np.sqrt(values)).T[values > 0]  # R, with Rᵀ R = S
    noise = None if noise_variance is None else noise_variance / scale
    problem = _Problem(rows, k, noise, ppca.noise_floor(values), np.random.default_rng(seed))
    greatest = ppca.greatest_elbo(values, k, ppca.learned_noise_variance(values, k) if noise is None else noise)
    track = _Track(greatest, max_iter, tol)
    weights = _in_units(_WAYS[method](problem, track), scale, prior_variance, noise_variance)
    rounding = float(np.finfo(float).eps) * abs(greatest)
    return Climb(weights, np.array(track.gaps), max(track.gaps[-1], rounding) <= tol)


class _Problem(NamedTuple):
    """What is to be fitted, in unit scales: R (r, d) with Rᵀ R = S of mean variance 1; k; δ, None where learned."""

    rows: Matrix
    latent_dim: int
    noise: float | None
    least_noise: float
    generator: np.random.Generator

    def random_loadings(self) -> Matrix:
        """Loadings (d, k) to start from, with about the data's variance in each column."""
        d = self.rows.shape[1]
        return np.asarray(self.generator.standard_normal((d, self.latent_dim)) / np.sqrt(d))

    @property
    def learned_floor(self) -> float | None:
        """Floor of δ where it is learned, else None."""
        return self.least_noise if self.noise is None else None


class _Track:
    """The gap after each iteration, and whether to stop."""

    def __init__(self, greatest: float, max_iter: int, tol: float) -> None:
        self.greatest, self.max_iter, self.tol = greatest, max_iter, tol
        self.gaps: list[float] = []

    def enough(self, elbo: float) -> bool:
        """Note the ELBO of one more iteration; true when it is the last."""
        self.gaps.append(self.greatest - elbo)
        return self.gaps[-1] <= self.tol or len(self.gaps) > self.max_iter


def _by_em(problem: _Problem, track: _Track, *, expanded: bool) -> Weights:
    noise = 1.0 if problem.noise is None else problem.noise
    fits = em.ascend(
        problem.rows, problem.random_loadings(), noise, least_noise=problem.learned_floor, expanded=expanded
    )
    return _weights(next(fit for fit in fits if track.enough(fit.log_likelihood)))


def _by_lbfgs(problem: _Problem, track: _Track) -> Weights:
    at = quasi_newton.ascend(
        problem.rows,
        problem.latent_dim,
        noise=problem.noise,
        least_noise=problem.least_noise,
        generator=problem.generator,
        enough=track.enough,
    )
    return _weights(em.appraise(problem.rows, at.loadings, at.noise))


def _by_adam(problem: _Problem, track: _Track) -> Weights:
    k = problem.latent_dim
    log_noise = np.asarray(0.0 if problem.noise is None else np.log(problem.noise))
    start = adam.Parameters(problem.random_loadings(), problem.random_loadings().T, np.zeros((k, k)), log_noise)
    steps = adam.ascend(problem.rows, start, least_noise=problem.learned_floor)
    at = next(at for elbo, at in steps if track.enough(elbo))
    L = at.encoder_factor
    return Weights(at.decoder, at.encoder, L @ L.T, float(np.exp(at.log_noise)), 1.0)


_WAYS: dict[Method, Callable[[_Problem, _Track], Weights]] = {
    "em": partial(_by_em, expanded=False),
    "px-em": partial(_by_em, expanded=True),
    "lbfgs": _by_lbfgs,
    "adam": _by_adam,
}


def _weights(fit: em.Fit) -> Weights:
    return Weights(fit.loadings, fit.encoder, fit.encoder_factor @ fit.encoder_factor.T, fit.noise, 1.0)


def _in_units(unit: Weights, scale: float, prior_variance: float, noise_variance: float | None) -> Weights:
    """Weights for data of variance `scale` and prior variance ε; a given noise stays exactly what was given."""
    ratio = np.sqrt(scale) / np.sqrt(prior_variance)
    return Weights(
        unit.decoder * ratio,
        unit.encoder / ratio,
        unit.encoder_covariance * prior_variance,
        unit.noise_variance * scale if noise_variance is None else noise_variance,
        prior_variance,
    )
