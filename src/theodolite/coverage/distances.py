"""Two distances between samples that tell how far apart, but not what is missing: Fréchet's and the kernel distance."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from theodolite.kernel.errors import DataError, UsageError
from theodolite.theory.frechet import frechet_at_infinity, frechet_distance

Floats = NDArray[np.float64]

BLOCK = 2**22  # numbers that are held in double precision at once
KERNEL_BLOCK = 1000  # samples of each side in a block, as Bińkowski et al. have them
FEWEST_BLOCKS = 10  # of which a standard error is taken
SIZES = 5  # of samples, for the distance at infinitely many
TAG = 0x4B1D


class KernelDistance(NamedTuple):
    """Squared maximum mean discrepancy and its standard error; it may be below 0, for it has no bias.

    Both are infinite where powers of the samples overflow.
    """

    value: float
    standard_error: float


def frechet(real: NDArray[Any], fake: NDArray[Any]) -> float:
    """Fréchet distance of the Gaussians with the samples' means and covariances, in squared units of the data.

    It is biased: samples of one distribution are at a distance above 0, of order d²/n, so only distances of equally
    many samples can be compared. `frechet_unbiased` takes most of the bias off.

    Parameters
    ----------
    real, fake : array (n, …), (m, …)
        At least 2 each; memory-maps are read in blocks.

    Raises
    ------
    DataError
        If samples are fewer than 2, not finite, or of different widths.
    """
    return _frechet(*_pair(real, fake, 2))


def frechet_unbiased(real: NDArray[Any], fake: NDArray[Any], seed: int = 0) -> float:
    """Fréchet distance read at infinitely many samples, an estimate; it may be a little below 0.

    The distance of the first N shuffled samples of each side, for `SIZES` sizes from an eighth to all, is extended
    along a line in 1/N.

    Parameters
    ----------
    real, fake : array (n, …), (m, …)
        Many more than the width, for the line to hold.
    seed : int
        Of the shuffles.
    """
    x, y = _pair(real, fake, 16)
    rng = np.random.default_rng([seed, TAG])
    fewest = min(len(x), len(y))
    mixed = [samples[rng.permutation(len(samples))[:fewest]] for samples in (x, y)]
    # evenly in 1/N
    sizes = np.round(1 / np.linspace(8 / fewest, 1 / fewest, SIZES)).astype(int)
    found = [_frechet(mixed[0][:size], mixed[1][:size]) for size in sizes]
    return frechet_at_infinity(sizes, found)


def _frechet(x: NDArray[Any], y: NDArray[Any]) -> float:
    """From the covariances; of fewer samples than those have entries, from the products of centred samples.

    With X and Y the centred samples over √(n − 1) and √(m − 1), the covariances are XᵀX and YᵀY, and the sum of the
    singular values that `frechet_distance` needs is that of X Yᵀ: of 60 samples of 2,000 numbers in a thousandth of the
    time.
    """
    if len(x) * len(y) > x.shape[1] ** 2:
        return frechet_distance(*moments(x), *moments(y))
    few, many = (x, y) if len(x) <= len(y) else (y, x)
    means = [_mean(samples) for samples in (few, many)]
    X = (np.asarray(few, np.float64) - means[0]) / math.sqrt(len(few) - 1)
    total, products = float(np.einsum("ij,ij->", X, X)), []
    for part in _blocks(many):
        Y = (part - means[1]) / math.sqrt(len(many) - 1)
        total += float(np.einsum("ij,ij->", Y, Y))
        products.append(X @ Y.T)
    shift = float(np.sum((means[0] - means[1]) ** 2))
    shared = float(np.linalg.svd(np.concatenate(products, axis=1), compute_uv=False).sum())
    return max(shift + total - 2 * shared, 0.0)


def kernel_distance(real: NDArray[Any], fake: NDArray[Any], degree: int = 3, seed: int = 0) -> KernelDistance:
    """Squared maximum mean discrepancy with the kernel (x·y/d + 1)^degree, unbiased, and its standard error.

    The samples are shuffled and cut into blocks; the blocks are independent, so the mean of their estimates has the
    standard error of a mean.

    Parameters
    ----------
    real, fake : array (n, …), (m, …)
        At least 20 each.
    degree : int
        Of the polynomial; 3 is usual.
    seed : int
        Of the shuffles.

    Notes
    -----
    Source: Bińkowski et al. (2018), section 4; the estimator is eq. 3 of Gretton et al. (2012).
    """
    if degree < 1:
        raise UsageError(f"degree={degree} of the polynomial kernel must be at least 1")
    x, y = _pair(real, fake, 2 * FEWEST_BLOCKS)
    blocks = max(FEWEST_BLOCKS, math.ceil(min(len(x), len(y)) / KERNEL_BLOCK))
    rng = np.random.default_rng([seed, TAG])
    cuts = [np.array_split(rng.permutation(len(samples)), blocks) for samples in (x, y)]
    found = [
        unbiased_discrepancy(np.asarray(x[np.sort(i)], np.float64), np.asarray(y[np.sort(j)], np.float64), degree)
        for i, j in zip(*cuts, strict=True)
    ]
    if not np.isfinite(found).all():
        return KernelDistance(math.inf, math.inf)
    return KernelDistance(float(np.mean(found)), float(np.std(found, ddof=1) / math.sqrt(blocks)))


def unbiased_discrepancy(x: Floats, y: Floats, degree: int) -> float:
    """Squared maximum mean discrepancy of one block, unbiased: (n, d) and (m, d)."""
    width = x.shape[1]

    def kernel(a: Floats, b: Floats) -> Floats:
        return np.asarray((a @ b.T / width + 1) ** degree)

    n, m = len(x), len(y)
    with np.errstate(over="ignore", invalid="ignore"):  # powers of huge numbers: infinite, or not a number
        k_x, k_y = kernel(x, x), kernel(y, y)
        # mean over pairs of different samples on each side, less twice the mean across
        within = (k_x.sum() - np.trace(k_x)) / (n * (n - 1)) + (k_y.sum() - np.trace(k_y)) / (m * (m - 1))
        return float(within - 2 * kernel(x, y).mean())


def moments(samples: NDArray[Any]) -> tuple[Floats, Floats]:
    """Mean (d,) and unbiased covariance (d, d), in double precision, in two passes of bounded memory."""
    mean = _mean(samples)
    covariance = np.zeros((samples.shape[1], samples.shape[1]))
    for part in _blocks(samples):
        part = part - mean
        covariance += part.T @ part
    return mean, covariance / (len(samples) - 1)


def _mean(samples: NDArray[Any]) -> Floats:
    mean = sum((part.sum(axis=0) for part in _blocks(samples)), np.zeros(samples.shape[1])) / len(samples)
    if not np.isfinite(mean).all():
        raise DataError("samples hold values that are not finite, or too large to be summed; remove those rows")
    return np.asarray(mean)


def _blocks(samples: NDArray[Any]) -> Iterator[Floats]:
    length = max(1, BLOCK // max(1, samples.shape[1]))
    for start in range(0, len(samples), length):
        yield np.asarray(samples[start : start + length], dtype=np.float64)


def _pair(real: NDArray[Any], fake: NDArray[Any], fewest: int) -> tuple[NDArray[Any], NDArray[Any]]:
    x, y = (np.asarray(samples).reshape(len(samples), -1) for samples in (real, fake))
    if min(len(x), len(y)) < fewest:
        raise DataError(f"{len(x):,} real and {len(y):,} generated samples came; at least {fewest} of each are needed")
    if x.shape[1] != y.shape[1]:
        raise DataError(f"real samples have {x.shape[1]} numbers each and generated ones {y.shape[1]}")
    return x, y
