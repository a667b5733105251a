"""The linear VAE where entries are missing: fitted to what was observed, which it can also fill in.

An entry that is NaN is missing, at random given what was observed. The encoder of a row is the exact posterior given
its observed entries, so that the ELBO is their log-likelihood.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from theodolite.linear_vae import filling, incomplete
from theodolite.linear_vae.incomplete import Inferred, Model, Rows
from theodolite.theory import elbo, ppca
from theodolite.theory.elbo import Weights

Matrix = NDArray[np.float64]

BLOCK = 2**22  # numbers worked on at once where rows are independent of each other
OFF_SADDLE = 0.1  # deviations of the noise: chance in the loadings at the start
LEAST_RELATIVE_NOISE = 1e-12  # of the mean variance: below it the precision of a row drowns in rounding


class Missing(NamedTuple):
    """What was fitted to data with missing entries.

    ``mean`` (d,); ``weights``, whose encoder is the posterior of a complete row; ``log_likelihoods`` (iterations + 1,)
    of the observed entries, in nats per sample, at the start and after each iteration; ``converged`` says whether they
    rose by less than the tolerance in the last iteration, and by Aitken's extrapolation will rise by no more.
    """

    mean: Matrix
    weights: Weights
    log_likelihoods: Matrix
    converged: bool


class Posterior(NamedTuple):
    """Distribution of z given the observed entries of each row: means (n, k) and covariances (n, k, k)."""

    means: Matrix
    covariances: Matrix


def fit_missing(
    samples: Matrix,
    latent_dim: int,
    *,
    noise_variance: float | None,
    prior_variance: float,
    max_iter: int,
    tol: float,
    start: tuple[Matrix, Weights] | None = None,
) -> Missing:
    """Fit a linear VAE to what was observed, by parameter-expanded EM; no iteration lowers the likelihood.

    It ends at a maximum near its start; where entries are missing there may be others.

    Parameters
    ----------
    samples : (n, d) array
        NaN where an entry is missing. A row without entries counts as a sample and tells nothing.
    latent_dim : int
        k, from 1 to d.
    noise_variance : float or None
        δ = η_d²; None to learn it, not below 1e-8 of the mean variance.
    prior_variance : float
        ε = η_e².
    max_iter : int
        Iterations at most, each one pass over the data.
    tol : float
        How far the likelihood may be from its limit, in nats per sample.
    start : (mean, weights) or None
        Where to start; None for the closed form of the data with each column's mean in the gaps. Complete data need
        no start.

    Returns
    -------
    Missing
        The axes of z are the principal axes. Without any NaN it is the closed form.

    Raises
    ------
    ValueError
        If an entry is infinite, a column has no entry, nothing varies and the noise is to be learned, or the noise is
        less than 1e-12 of the data's mean variance.
    """
    X = np.asarray(samples, float)
    rows, centre, scale = standardised(X, noise_variance)
    noise = None if noise_variance is None else noise_variance / scale**2
    model = mean_filled(rows, latent_dim, noise)
    if start is not None and not rows.seen.all():
        mean, given = start
        loadings = given.decoder * (np.sqrt(given.prior_variance) / scale)
        model = Model((mean - centre) / scale, loadings, given.noise_variance / scale**2)
    model, values, converged = ascend(rows, model, latent_dim, noise, max_iter=max_iter, tol=tol)
    weights = _in_units(model, scale, noise_variance, prior_variance)
    units = rows.seen.sum() / len(X) * np.log(scale)
    return Missing(centre + scale * model.mean, weights, np.array(values) - units, converged)


def standardised(samples: Matrix, noise_variance: float | None) -> tuple[Rows, Matrix, float]:
    """Rows less the mean of each column's entries, in units of the root of their mean variance; that mean and unit.

    Raises
    ------
    ValueError
        As `fit_missing`.
    """
    seen = _observed(samples)
    empty = np.flatnonzero(~seen.any(axis=0))
    if len(empty):
        named = ", ".join(map(str, empty[:5])) + (" …" if len(empty) > 5 else "")
        raise ValueError(f"{len(empty)} of {samples.shape[1]} columns have no entry: {named}; leave them out")
    lowest, highest = np.nanmin(samples, axis=0), np.nanmax(samples, axis=0)
    # of a column that does not vary, exactly: what the mean rounds would pass for its variance
    centre = np.where(lowest == highest, lowest, np.where(seen, samples, 0).sum(axis=0) / seen.sum(axis=0))
    deviations = np.where(seen, samples - centre, 0)
    scale = _scale(deviations, seen, noise_variance)
    return Rows(deviations / scale, seen.astype(float)), centre, scale


def mean_filled(rows: Rows, latent_dim: int, noise: float | None) -> Model:
    """Closed form of standardised rows with the mean in their gaps: of complete rows, the fit itself.

    Of others, with a trace of chance in the loadings: where two groups of columns are never seen together, no loading
    would join them, and the ascent would end on that saddle.
    """
    n = len(rows.values)
    covariance = rows.values.T @ rows.values / n
    model = filling.refitted(filling.Filled(np.zeros(len(covariance)), covariance, 0.0), latent_dim, noise)
    if rows.seen.all():
        return model
    chance = np.random.default_rng(0).standard_normal(model.loadings.shape)
    return model._replace(loadings=model.loadings + OFF_SADDLE * np.sqrt(min(model.noise, 1.0)) * chance)


def ascend(
    rows: Rows, model: Model, latent_dim: int, noise: float | None, *, max_iter: int, tol: float
) -> tuple[Model, list[float], bool]:
    """Climb the likelihood of standardised rows, by the expectation–maximisation that costs less an iteration.

    Parameters
    ----------
    rows : Rows
        Standardised.
    model : Model
        Where to start; if it has not k latent dimensions, the best k are taken at the first step.
    latent_dim : int
        k.
    noise : float or None
        δ; None to learn it.
    max_iter, tol
        As `fit_missing`.

    Returns
    -------
    Model, list of float, bool
        The fit; log-likelihoods in nats per sample; whether they converged.
    """
    n = len(rows.values)
    by_filling = _filling_is_cheaper(rows, latent_dim)
    least_noise = ppca.NOISE_FLOOR if noise is None else None
    if model.loadings.shape[1] != latent_dim:
        model = filling.refitted(filling.fill(rows, model), latent_dim, noise)
    values: list[float] = []
    while True:
        if by_filling:
            filled = filling.fill(rows, model)
            values.append(filled.log_likelihood / n)
        else:
            found = incomplete.moments(rows, model)
            values.append(found.log_likelihood / n)
        converged = _remaining(values) <= tol or bool(rows.seen.all())
        if converged or len(values) > max_iter:
            return model, values, converged
        if by_filling:
            model = filling.refitted(filled, latent_dim, noise)
        else:
            model = incomplete.improved(model, found, least_noise)


def posterior(samples: Matrix, mean: Matrix, weights: Weights) -> Posterior:
    """Distribution of z given the observed entries of each row; the prior where there are none.

    Parameters
    ----------
    samples : (n, d) array
        NaN where an entry is missing.
    mean : (d,) array
        Of the model.
    weights : Weights
        Of the model; their encoder is not used.

    Raises
    ------
    ValueError
        If an entry is infinite.
    """
    blocks = list(_inferred(samples, mean, weights))
    root = np.sqrt(weights.prior_variance)
    return Posterior(
        root * np.concatenate([block.means for block in blocks]),
        root * np.concatenate([block.covariances for block in blocks]) * root,
    )


def posterior_means(samples: Matrix, mean: Matrix, weights: Weights) -> Matrix:
    """Means (n, k) of `posterior`, in memory that does not grow with k²; its parameters and errors."""
    means = [block.means for block in _inferred(samples, mean, weights)]
    return np.asarray(np.sqrt(weights.prior_variance) * np.concatenate(means))


def log_likelihood_observed(samples: Matrix, mean: Matrix, weights: Weights) -> Matrix:
    """Log-density of the observed entries of each row (n,), in nats, 0 where there are none; as `posterior`."""
    entries = np.sum(~np.isnan(samples), axis=1)
    unit = np.concatenate([block.log_likelihoods for block in _inferred(samples, mean, weights)])
    return np.asarray(unit - entries * np.log(weights.noise_variance) / 2)


def impute(samples: Matrix, mean: Matrix, weights: Weights) -> Matrix:
    """Samples (n, d), each missing entry replaced by its mean given the observed ones of its row; as `posterior`."""
    X = np.asarray(samples, float)
    expected = mean + posterior_means(X, mean, weights) @ weights.decoder.T
    return np.where(np.isnan(X), expected, X)


def row_by_row(
    samples: Matrix,
    mean: Matrix,
    weights: Weights,
    complete: Callable[[Matrix], Matrix],
    gapped: Callable[[Matrix, Matrix, Weights], Matrix],
) -> Matrix:
    """Apply `complete` to rows less the mean, and `gapped` to those that lack entries, whatever stands beside them."""
    values = []
    for block in blocks_of(samples):
        gaps = np.isnan(block).any(axis=1)
        if not gaps.any():
            values.append(complete(block - mean))
            continue
        values.append(gapped(block, mean, weights))
        values[-1][~gaps] = complete(block[~gaps] - mean)
    return np.concatenate(values)


def blocks_of(samples: Matrix) -> Iterator[Matrix]:
    """Cut samples into blocks of rows, each in float64 small beside what is there."""
    size = max(1, BLOCK // samples.shape[1])
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def _observed(samples: Matrix) -> NDArray[np.bool_]:
    """Where entries are; none may be infinite."""
    if np.isinf(samples).any():
        row, column = np.argwhere(np.isinf(samples))[0]
        raise ValueError(f"samples[{row}, {column}] is infinite; a missing entry is NaN")
    return ~np.isnan(samples)


def _scale(filled: Matrix, seen: NDArray[np.bool_], noise_variance: float | None) -> float:
    """Root of the mean variance of the observed entries; of the noise, where they do not vary."""
    largest = float(np.abs(filled).max())
    if largest == 0:
        if noise_variance is None:
            raise ValueError("the data do not vary, so their noise cannot be learned; give noise_variance")
        return float(np.sqrt(noise_variance))
    scale = largest * float(np.sqrt(np.sum((filled / largest) ** 2) / seen.sum()))
    if noise_variance is not None and noise_variance / scale**2 < LEAST_RELATIVE_NOISE:
        raise ValueError(
            f"noise_variance={noise_variance:g} is less than {LEAST_RELATIVE_NOISE:g} of the mean variance "
            f"{scale**2:g} of the data, too little to compute with; give more"
        )
    return scale


def _filling_is_cheaper(rows: Rows, latent_dim: int) -> bool:
    """Whether the missing entries alone cost fewer operations an iteration than the codes of all rows."""
    n, d = rows.values.shape
    lacking = d - rows.seen.sum(axis=1)
    by_filling = np.sum(2 * lacking**3) + 8 * n * d**2 + 10 * d**3
    by_codes = n * (4 * d * latent_dim**2 + 5 * latent_dim**3)
    return bool(by_filling < by_codes)


def _remaining(values: list[float]) -> float:
    """Last rise of the values, or all that is to come if their rises go on to shrink by the same factor (Aitken)."""
    if len(values) < 3:
        return np.inf
    last, before = values[-1] - values[-2], values[-2] - values[-3]
    if last <= np.spacing(abs(values[-1])):
        return 0.0
    return max(last, last * last / (before - last)) if before > last else np.inf


def _in_units(model: Model, scale: float, noise_variance: float | None, prior_variance: float) -> Weights:
    """Weights for data of this scale and a prior of this variance, with z turned to the principal axes."""
    P, s, _ = np.linalg.svd(model.loadings, full_matrices=False)
    largest = np.abs(P).argmax(axis=0)
    A = P * np.sign(P[largest, np.arange(len(s))]) * s
    W, Sigma = elbo.posterior(A, model.noise, 1.0)
    ratio = scale / np.sqrt(prior_variance)
    delta = model.noise * scale**2 if noise_variance is None else noise_variance
    return Weights(A * ratio, W / ratio, Sigma * prior_variance, delta, prior_variance)


def _inferred(samples: Matrix, mean: Matrix, weights: Weights) -> Iterator[Inferred]:
    """Posterior of each block of rows in units of the noise: δ = 1 and z ~ N(0, I)."""
    X = np.asarray(samples, float)
    seen = _observed(X)
    root = np.sqrt(weights.noise_variance)
    rows = Rows(np.where(seen, X - mean, 0) / root, seen.astype(float))
    k = weights.decoder.shape[1]
    model = Model(np.zeros(len(mean)), weights.decoder * (np.sqrt(weights.prior_variance) / root), 1.0)
    for block in rows.blocks(k):
        yield incomplete.infer(block, model)
