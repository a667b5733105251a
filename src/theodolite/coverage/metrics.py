"""Precision, recall, density and coverage by nearest neighbours: exact, in blocks of bounded memory."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import euclidean_distances

from theodolite.kernel.errors import UsageError

Floats = NDArray[np.floating[Any]]
BLOCK = 512


class NeighbourMetrics(NamedTuple):
    """Pure numbers; all but `density` lie in [0, 1]. They are estimates without a guarantee.

    Attributes
    ----------
    precision, recall : float
        Share of fakes within reach of a real, and of reals within reach of a fake (Kynkäänniemi et al. 2019).
    density, coverage : float
        How many reals reach a fake, over k, and the share of reals that a fake falls within reach of (Naeem et al.
        2020).
    """

    precision: float
    recall: float
    density: float
    coverage: float


def neighbour_metrics(real: NDArray[Any], fake: NDArray[Any], k: int = 5) -> NeighbourMetrics:
    """Compare samples by balls that reach to the k-th nearest neighbour.

    Parameters
    ----------
    real, fake : array (n, …), (m, …)
    k : int
        Neighbours; fewer than n and m.

    Raises
    ------
    UsageError
        If k is not between 1 and the smaller count less one.
    """
    if not 1 <= k < min(len(real), len(fake)):
        raise UsageError(f"k={k} must lie between 1 and {min(len(real), len(fake)) - 1}, one less than the samples")
    x, y = (np.asarray(samples, dtype=np.float64).reshape(len(samples), -1) for samples in (real, fake))
    real_reach, fake_reach = _reach(x, k), _reach(y, k)
    reached_by = np.zeros(len(y))  # how many reals reach each fake
    recalled, covered = 0, 0
    for start in range(0, len(x), BLOCK):
        distances = euclidean_distances(x[start : start + BLOCK], y)
        reach = real_reach[start : start + BLOCK, None]
        reached_by += (distances < reach).sum(axis=0)
        recalled += int((distances < fake_reach).any(axis=1).sum())
        covered += int((distances.min(axis=1, keepdims=True) < reach).sum())
    return NeighbourMetrics(
        precision=float((reached_by > 0).mean()),
        recall=recalled / len(x),
        density=float(reached_by.mean()) / k,
        coverage=covered / len(x),
    )


def _reach(points: Floats, k: int) -> Floats:
    """Distance of each point to its k-th nearest other."""
    parts = []
    for start in range(0, len(points), BLOCK):
        block = euclidean_distances(points[start : start + BLOCK], points)
        # rounding must not make a point its own first neighbour at a distance
        block[np.arange(len(block)), start + np.arange(len(block))] = 0.0
        parts.append(np.partition(block, k, axis=1)[:, k])
    return np.concatenate(parts)
