"""Where a generator makes too little once both sides are blurred: classes and modes, not faults of detail."""

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.neighbors import NearestNeighbors

from theodolite.coverage.members import Floats

LARGEST_LOG_ODDS = 20.0
BLOCK = 512  # rows of a matrix of distances held at once
NEIGHBOUR = 5  # whose usual distance is the unit of widths


class Blurred:
    """Log ratio of two densities, each blurred by a normal of the given width: kernel density estimates.

    A discriminator that sees every detail calls nearly all of an imperfect generator's data missed. Blurred, a fault
    smaller than the width is gone, and a missing class is not.

    Parameters
    ----------
    real, fake : (n, features), (m, features)
        The samples that the densities are estimated from.
    width : float
        Standard deviation of the blur, in the units of the samples.
    """

    def __init__(self, real: Floats, fake: Floats, width: float) -> None:
        self.real, self.fake, self.width = real, fake, width

    def __call__(self, samples: Floats) -> Floats:
        """Return log p̂_r/p̂_θ at samples (n, features) that are none of those the estimate is made from."""
        return _clipped(self._log_density(samples, self.real), self._log_density(samples, self.fake))

    def on_own(self) -> tuple[Floats, Floats]:
        """Return the log ratio at every real and every fake it is made from, each without its own share of it."""
        on_real = self._log_density(self.real, self.real, own=True), self._log_density(self.real, self.fake)
        on_fake = self._log_density(self.fake, self.real), self._log_density(self.fake, self.fake, own=True)
        return _clipped(*on_real), _clipped(*on_fake)

    def _log_density(self, points: Floats, centres: Floats, own: bool = False) -> Floats:
        logs = np.empty(len(points))
        for start in range(0, len(points), BLOCK):
            rows = np.arange(start, min(start + BLOCK, len(points)))
            exponent = -0.5 * euclidean_distances(points[rows], centres, squared=True) / self.width**2
            if own:
                exponent[rows - start, rows] = -np.inf
            highest = exponent.max(axis=1)
            logs[rows] = highest + np.log(np.exp((exponent - highest[:, None]).astype(np.float32)).mean(axis=1))
        return logs


def _clipped(log_real: Floats, log_fake: Floats) -> Floats:
    return np.clip(log_real - log_fake, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)


def usual_distance(points: Floats) -> float:
    """Median distance of a point to the fifth nearest other one, never 0."""
    near = NearestNeighbors(n_neighbors=min(NEIGHBOUR + 1, len(points))).fit(points)
    distance = float(np.median(near.kneighbors(points)[0][:, -1]))
    return distance if distance > 0 else float(points.std()) + 1e-12
