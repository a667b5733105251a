"""The line and the plane drawn out: D̂ on a grid, and densities estimated from samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from theodolite.coverage.members import Floats

CELLS = {1: 240, 2: 64}
MARGIN = 0.04  # of the range, beyond the outermost samples on either side
FINER = (1.0, 0.5, 0.25, 0.125)  # widths tried, in units of Silverman's
TAILS = 1e-3  # of the samples are left outside, on either side of an axis


def grid_axes(real: NDArray[Any], fake: NDArray[Any]) -> tuple[Floats, ...] | None:
    """Middles of the cells along each axis; None unless the data have one or two coordinates, and vary in each."""
    rows, others = (np.asarray(x, dtype=np.float64).reshape(len(x), -1) for x in (real, fake))
    if rows.shape[1] not in CELLS:
        return None
    axes = []
    for column, other in zip(rows.T, others.T, strict=True):
        low, high = np.quantile(np.concatenate([column, other]), [TAILS, 1 - TAILS])
        low, high = min(low, column.min()), max(high, column.max())
        if not high > low:
            return None
        room = MARGIN * (high - low)
        axes.append(np.linspace(low - room, high + room, CELLS[rows.shape[1]]))
    return tuple(axes)


def grid_points(axes: tuple[Floats, ...]) -> Floats:
    """All points of the grid, (points, coordinates); the last axis runs fastest."""
    return np.stack([part.ravel() for part in np.meshgrid(*axes, indexing="ij")], axis=1)


def density(samples: NDArray[Any], axes: tuple[Floats, ...]) -> Floats:
    """Estimate a density on the grid: counted in cells, then smoothed by a Gaussian.

    Its width is Silverman's or a part of it, whichever makes one half of the samples likeliest under the other.

    Parameters
    ----------
    samples : array (n, …)
    axes : tuple of array
        Middles of the cells.

    Returns
    -------
    array (len of each axis)
        In samples per unit of length or area; what falls outside the grid is left out.
    """
    rows = np.asarray(samples, dtype=np.float64).reshape(len(samples), -1)
    steps = np.array([axis[1] - axis[0] for axis in axes])
    edges = [np.append(axis - step / 2, axis[-1] + step / 2) for axis, step in zip(axes, steps, strict=True)]
    halves = [np.histogramdd(rows[start::2], bins=edges)[0] for start in (0, 1)]
    d = len(axes)
    silverman = rows.std(axis=0) * (4 / ((d + 2) * len(rows))) ** (1 / (d + 4)) / steps

    def smooth(counts: Floats, finer: float) -> Floats:
        found: Floats = gaussian_filter(counts, np.maximum(finer * silverman, 0.3), mode="constant")
        return found

    def likelihood(finer: float) -> float:
        fitted = smooth(halves[0], finer) / max(halves[0].sum(), 1)
        return float((halves[1] * np.log(fitted + 1e-9)).sum())

    best = max(FINER, key=likelihood)
    found: Floats = smooth(halves[0] + halves[1], best) / len(rows) / steps.prod()
    return found
