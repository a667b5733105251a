"""Means of clusters: a few tens of samples of a missed mode are few among distances, and enough for a mean.

In many dimensions the distance between two samples is mostly noise of both; of that between a sample and the mean of a
cluster, half the noise is gone.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.cluster import KMeans
from sklearn.metrics.pairwise import euclidean_distances
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it says nothing of its types

Floats = NDArray[np.floating[Any]]

CLUSTERS = 64  # on each side
FEWEST = 10  # samples for each cluster, on average
ROUNDS = 20
BLOCK = 8192  # samples held against the clusters at once


class Prototypes:
    """Log ratio of two mixtures of round Gaussians of one width, around the means of clusters of the reals and fakes.

    The clusters are those of Lloyd (1982), begun as by Arthur and Vassilvitskii (2007): a small cluster far from all
    others gets a mean of its own before a large one gets its second.

    Parameters
    ----------
    points : array (samples, columns)
    is_real : bool array (samples,)
    seed : int
        Of the first means.
    """

    def __init__(self, points: Floats, is_real: NDArray[np.bool_], seed: int) -> None:
        real, fake = _clusters(points[is_real], seed), _clusters(points[~is_real], seed)
        self.sides = [(means, weights) for means, weights, _ in (real, fake)]
        self.variance = (real[2] + fake[2]) / 2 + 1e-12

    def __call__(self, points: Floats) -> Floats:
        """Return log p̂_r/p̂_θ, (samples,)."""
        return np.concatenate(
            [self._log_ratio(points[start : start + BLOCK]) for start in range(0, len(points), BLOCK)]
        )

    def _log_ratio(self, points: Floats) -> Floats:
        real, fake = (
            logsumexp(np.log(weights) - euclidean_distances(points, means, squared=True) / (2 * self.variance), axis=1)
            for means, weights in self.sides
        )
        return np.asarray(real - fake)


def _clusters(points: Floats, seed: int) -> tuple[Floats, Floats, float]:
    """Means of clusters, their shares, and the variance within them along one column."""
    different = len({row.tobytes() for row in points})
    count = max(1, min(CLUSTERS, len(points) // FEWEST, different))
    # in one thread the sums are always taken in one order
    with threadpool_limits(1, user_api="openmp"):
        found = KMeans(count, n_init=1, max_iter=ROUNDS, random_state=seed % 2**32).fit(points)
    # one sample more in each, so that none is empty
    sizes = np.bincount(found.labels_, minlength=count) + 1
    freedom = max(len(points) - count, 1) * points.shape[1]
    return np.asarray(found.cluster_centers_), sizes / sizes.sum(), float(found.inertia_) / freedom
