"""What single columns say: how often reals and fakes fall between some cuts, and which fine grid all values lie on.

Columns are taken one at a time and their evidence is added up as if they were independent (naive Bayes): where every
column differs a little, as for two cubes that overlap in part, no classifier of a few thousand samples sees as much.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]

FEWEST_CUTS, MOST_CUTS = 4, 64
PRIOR = 4.0  # samples, shared out over the bins as all samples are, that each side is given beforehand
LARGEST = 8.0  # log ratio of one bin
MOST_STEPS = 2**16  # of a grid; a finer one is the precision of the numbers and not what they count
OFF_GRID = 0.01  # of a step: less is rounding
SLACK, LEAST_OFF = 4.0, 1e-9  # over the largest rounding that was seen, of a step


class Marginals:
    """Log ratio of histograms of each column: their sum, the largest and the smallest.

    The cuts are quantiles of all samples, about √n of them, and the extremes of each side, so that what lies beyond all
    fakes has a bin of its own.

    Parameters
    ----------
    points : array (samples, columns)
    is_real : bool array (samples,)
    """

    def __init__(self, points: Floats, is_real: Flags) -> None:
        at = np.linspace(0, 1, int(np.clip(np.sqrt(len(points)), FEWEST_CUTS, MOST_CUTS)) + 1)[1:-1]
        self.columns = [_histograms(column[is_real], column[~is_real], np.quantile(column, at)) for column in points.T]

    def __call__(self, points: Floats) -> Floats:
        """Return sum, largest and smallest of the log ratios of the columns, (samples, 3)."""
        total, largest, smallest = np.zeros((3, len(points)))
        for (cuts, ratios), column in zip(self.columns, points.T, strict=True):
            ratio = ratios[np.searchsorted(cuts, column, side="right")]
            total += ratio
            np.maximum(largest, ratio, out=largest)
            np.minimum(smallest, ratio, out=smallest)
        return np.stack([total, largest, smallest], axis=1)


def _histograms(real: Floats, fake: Floats, quantiles: Floats) -> tuple[Floats, Floats]:
    """Cuts, and the log ratio of the shares of reals and fakes in each bin."""
    highest = np.nextafter([real.max(), fake.max()], np.inf)
    cuts = np.unique(np.concatenate([quantiles, [real.min(), fake.min()], highest]))
    counts = [
        np.bincount(np.searchsorted(cuts, side, side="right"), minlength=len(cuts) + 1).astype(float)
        for side in (real, fake)
    ]
    # a bin without samples, beyond all that was seen, says nothing
    prior = PRIOR * (counts[0] + counts[1]) / (len(real) + len(fake))
    prior[prior == 0] = 1.0
    shares = [(count + prior) / len(side) for count, side in zip(counts, (real, fake), strict=True)]
    empty = counts[0] + counts[1] == 0
    return cuts, np.where(empty, 0.0, np.clip(np.log(shares[0]) - np.log(shares[1]), -LARGEST, LARGEST))


class Grid(NamedTuple):
    """Origin, step, and by what part of a step rounding errors take values off it."""

    origin: float
    step: float
    off: float

    def left_by(self, values: Floats) -> Flags:
        """Which values do not lie on it."""
        return np.asarray(self._distance(values) > self.off)

    def _distance(self, values: Floats) -> Floats:
        steps = (values - self.origin) / self.step
        return np.asarray(np.abs(steps - np.round(steps)))

    @classmethod
    def of(cls, values: Floats) -> "Grid | None":
        """Find the grid that all values lie on, if there is one of at most `MOST_STEPS` steps.

        The step is the smallest distance between two values, then set so that both extremes lie on the grid.
        """
        distinct = np.unique(values)
        if distinct.size < 2 or distinct.size > MOST_STEPS:
            return None
        width = float(distinct[-1] - distinct[0])
        steps = np.round(width / np.diff(distinct).min())
        if steps > MOST_STEPS:
            return None
        grid = cls(float(distinct[0]), width / float(steps), OFF_GRID)
        if grid.left_by(distinct).any():
            return None
        return grid._replace(off=SLACK * float(grid._distance(distinct).max()) + LEAST_OFF)


class Grids:
    """Whether a sample leaves the grid, such as whole numbers, that all values of a column have on one side.

    Only grids that the other side does not keep to are looked at: rounding on both sides says nothing.

    Parameters
    ----------
    points : array (samples, columns)
    is_real : bool array (samples,)
    """

    def __init__(self, points: Floats, is_real: Flags) -> None:
        self.real: list[tuple[int, Grid]] = []
        self.fake: list[tuple[int, Grid]] = []
        for place, column in enumerate(points.T):
            for kept, own, other in ((self.real, is_real, ~is_real), (self.fake, ~is_real, is_real)):
                grid = Grid.of(column[own])
                if grid is not None and grid.left_by(column[other]).any():
                    kept.append((place, grid))

    def __call__(self, points: Floats) -> Floats:
        """Return 1 for what leaves a grid of the fakes, less 1 for what leaves one of the reals, (samples,)."""
        off_real, off_fake = (
            np.logical_or.reduce(
                [np.zeros(len(points), bool), *(grid.left_by(points[:, place]) for place, grid in grids)]
            )
            for grids in (self.real, self.fake)
        )
        return np.asarray(off_fake.astype(float) - off_real)
