"""The Fréchet distance of two Gaussians, and what finite samples add to it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def frechet_distance(mean_r: ArrayLike, covariance_r: ArrayLike, mean_g: ArrayLike, covariance_g: ArrayLike) -> float:
    """Squared Fréchet (2-Wasserstein) distance of two Gaussians, in squared units of the data: FID, for features.

    The trace of the root of a product is the sum of the singular values of R Gᵀ, with R Rᵀ and G Gᵀ the covariances: no
    root of a matrix that need not have one, and no eigenvalue is squared first, so covariances may have any rank.

    Holds when: both covariances are symmetric and have no eigenvalue below 0 but by rounding. Of distributions that are
    not Gaussian it compares two moments.
    Source: Dowson & Landau (1982), eq. 4; Heusel et al. (2017), eq. 6.

    Examples
    --------
    >>> round(frechet_distance([0, 0], [[1, 0], [0, 1]], [3, 0], [[4, 0], [0, 1]]), 9)
    10.0
    """
    m, n = (np.atleast_1d(np.asarray(mean, float)) for mean in (mean_r, mean_g))
    C_r, C_g = (np.atleast_2d(np.asarray(covariance, float)) for covariance in (covariance_r, covariance_g))
    # |m − n|²
    shift = float((m - n) @ (m - n))
    # tr C_r + tr C_g − 2 tr (C_r C_g)^½
    shared = float(np.linalg.svd(_root(C_r).T @ _root(C_g), compute_uv=False).sum())
    return max(shift + float(np.trace(C_r) + np.trace(C_g)) - 2 * shared, 0.0)


def frechet_at_infinity(sizes: ArrayLike, distances: ArrayLike) -> float:
    """Fréchet distance without the bias of finite samples, an estimate, in the units of `distances`.

    Holds when: the distance of samples of size N is that of the distributions plus a constant over N; then the line
    through it, against 1/N, is read at 0.
    Source: Chong & Forsyth (2020), section 3.
    """
    slope_and_value = np.polyfit(1 / np.asarray(sizes, float), np.asarray(distances, float), 1)
    return float(slope_and_value[1])


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """R with R Rᵀ = covariance."""
    lam, V = np.linalg.eigh(covariance)
    return np.asarray(V * np.sqrt(np.maximum(lam, 0.0)))
