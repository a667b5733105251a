"""What lies around a sample: distances to the nearest of some references, and the density of kernels on them.

A block of samples against all references is one matrix product, in single precision where that is fine enough.

Letters: x a sample, y a reference, both less a common centre and over a common unit.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Places = NDArray[np.intp]

BLOCK = 512  # samples looked at together
SINGLE_WITHIN = 2.0**15  # |x|² and |y|² of which a product in single precision is right to 0.01
GROUP = 8  # references of which only the nearest is ranked at first


class References:
    """Points that others are held against.

    Parameters
    ----------
    points : array (references, columns)
    centre : array (columns,)
        Taken off all points; the nearer to them, the smaller the rounding.
    unit : float
        Distances are in these.
    """

    def __init__(self, points: Floats, centre: Floats, unit: float = 1.0) -> None:
        self.points, self.centre, self.unit = points, centre, unit
        y = (points - centre) / unit
        halves = 0.5 * np.einsum("ij,ij->i", y, y)
        rows = np.column_stack([y, -halves])
        self.rows: dict[Any, Floats] = {np.float64: rows}
        if 2 * halves.max() <= SINGLE_WITHIN:
            self.rows[np.float32] = rows.astype(np.float32)

    def __len__(self) -> int:
        return len(self.points)

    def distances(self, samples: Floats, k: int) -> Floats:
        """Euclidean distances to the k nearest references, (samples, k), ascending, in units of the columns.

        Which are nearest is found by the product; how near they are, by differences: a copy is at distance 0.
        """
        found = np.empty((len(samples), k))
        for places, x in self._parts(samples):
            nearest = self.points[_largest(self._closeness(x), k)]
            away = nearest - samples[places][:, None]
            found[places] = np.sqrt(np.einsum("ijk,ijk->ij", away, away))
        found.sort(axis=1)
        return found

    def log_density(self, samples: Floats) -> Floats:
        """Log of the mean Gaussian kernel of width `unit` at each sample, up to a constant, (samples,)."""
        found = np.empty(len(samples))
        for places, x in self._parts(samples):
            exponent = self._closeness(x)
            highest = exponent.max(axis=0)
            exponent -= highest
            np.exp(exponent, out=exponent)
            size = 0.5 * np.einsum("ij,ij->i", x, x)
            found[places] = highest - size + np.log(exponent.mean(axis=0))
        return found

    def _parts(self, samples: Floats) -> Any:
        """Samples in blocks, with x in the precision that each sample asks for: equal ones are treated alike."""
        for start in range(0, len(samples), BLOCK):
            x = (samples[start : start + BLOCK] - self.centre) / self.unit
            near = np.einsum("ij,ij->i", x, x) <= (SINGLE_WITHIN if np.float32 in self.rows else -1)
            for kind, chosen in ((np.float32, near), (np.float64, ~near)):
                if chosen.any():
                    yield start + np.flatnonzero(chosen), x[chosen].astype(kind)

    def _closeness(self, x: Floats) -> Floats:
        """x·y − |y|²/2 = (|x|² − |x − y|²)/2, (references, samples)."""
        return np.asarray(self.rows[x.dtype.type] @ np.column_stack([x, np.ones(len(x), x.dtype)]).T)


def _largest(values: Floats, k: int) -> Places:
    """Rows of the k largest numbers of each column, (columns, k), in no order.

    The k largest lie in the k groups of rows with the largest maxima, and those are found in the same way.
    """
    rows, columns = values.shape
    groups = rows // GROUP
    if groups <= max(k, GROUP):
        return np.asarray(np.argpartition(-values.T, k - 1, axis=1)[:, :k])
    whole = groups * GROUP
    best = _largest(values[:whole].reshape(GROUP, groups, columns).max(axis=0), k)
    members = (best[:, :, None] + groups * np.arange(GROUP)).reshape(columns, -1)
    rest = np.broadcast_to(np.arange(whole, rows), (columns, rows - whole))
    candidates = np.concatenate([members, rest], axis=1)
    held = values[candidates, np.arange(columns)[:, None]]
    chosen = np.argpartition(-held, k - 1, axis=1)[:, :k]
    return np.asarray(np.take_along_axis(candidates, chosen, axis=1))
