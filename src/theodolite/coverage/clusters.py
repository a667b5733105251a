"""Where the missed samples lie together: cells of the data space, found among some samples and open to all others."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

Floats = NDArray[np.floating[Any]]
Indices = NDArray[np.intp]

AXES = 8  # principal axes in which clusters are looked for
FEWEST = 8  # samples of a cluster
MOST_CLUSTERS = 12
APART = 4.0  # of two clusters; the halves of one Gaussian have 2.6, those of a uniform 3.5
ONE, SCATTER = 2.6, 13.0  # of n points of one Gaussian in `AXES` axes, 99% stay below 2.6 + 13/√n (simulated)
LABEL_AXES = 32
NEIGHBOURS = 5


class Cells:
    """Cells around the centres of clusters, in the principal axes of the samples they were found among."""

    def __init__(self, rows: NDArray[Any]) -> None:
        rows = np.asarray(rows, dtype=np.float64)
        spread = rows.std(axis=0)
        # few columns may have units of their own; the many of an image share one
        self.unit = np.where(spread > 0, spread, 1.0) if rows.shape[1] <= AXES else np.ones(rows.shape[1])
        self.axes = _principal(rows / self.unit, AXES)
        points = self.axes.transform(rows / self.unit)
        self.centres = np.array([points[part].mean(axis=0) for part in split(points)])

    def __len__(self) -> int:
        return len(self.centres)

    def __call__(self, rows: NDArray[Any]) -> Indices:
        """Return the cell of each sample."""
        points = self.axes.transform(np.asarray(rows, dtype=np.float64) / self.unit)
        return np.asarray(((points[:, None] - self.centres) ** 2).sum(axis=2).argmin(axis=1))


class Expected:
    """The label that the nearest of some labelled samples have."""

    def __init__(self, rows: NDArray[Any], codes: Indices) -> None:
        rows = np.asarray(rows, dtype=np.float64)
        self.axes = _principal(rows, LABEL_AXES)
        self.rule = KNeighborsClassifier(min(NEIGHBOURS, len(rows))).fit(self.axes.transform(rows), codes)

    def __call__(self, rows: NDArray[Any]) -> Indices:
        """Return the code of the label expected of each sample."""
        return np.asarray(self.rule.predict(self.axes.transform(np.asarray(rows, dtype=np.float64))), dtype=np.intp)


def split(points: Floats) -> list[Indices]:
    """Split points in two, and the parts again, as long as both halves are groups of their own.

    They are if their means are at least `APART` pooled standard deviations apart along the line between them (D of
    Ashman et al. 1994), and farther than chance parts as few points of one Gaussian; and if neither has fewer than
    `FEWEST`.

    Returns
    -------
    list of int array
        The parts, as indices; one if nothing splits.
    """
    done: list[Indices] = []
    waiting = [np.arange(len(points))]
    while waiting:
        part = waiting.pop(0)
        halves = _halves(points, part) if len(done) + len(waiting) < MOST_CLUSTERS - 1 else None
        if halves is None:
            done.append(part)
        else:
            waiting += halves
    return done


def _halves(points: Floats, part: Indices) -> list[Indices] | None:
    here = points[part]
    if len(part) < 2 * FEWEST or len(np.unique(here, axis=0)) < 2:
        return None
    side = KMeans(2, n_init=4, random_state=0).fit(here).labels_.astype(bool)
    if min(side.sum(), (~side).sum()) < FEWEST:
        return None
    along = here @ (here[side].mean(axis=0) - here[~side].mean(axis=0))
    distance = abs(along[side].mean() - along[~side].mean())
    spread = np.sqrt((along[side].var() + along[~side].var()) / 2)
    needed = max(APART, ONE + SCATTER / np.sqrt(len(part)))
    return [part[side], part[~side]] if distance > needed * spread else None


def _principal(rows: Floats, axes: int) -> PCA:
    with np.errstate(invalid="ignore"):  # the shares of the variance, not used here, where there is none
        return PCA(min(axes, *rows.shape), svd_solver="randomized", random_state=0).fit(rows)
