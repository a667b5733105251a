"""Nearest neighbours and balls around points: exact, tile by tile, without a matrix of all distances.

Letters: s a squared distance out of a tile, e the bound on its error (see `theodolite.coverage.clouds`).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from theodolite.coverage.clouds import TILE, Cloud, Floats, Places, squares

TIE = 1e-12  # squared distances that differ by less, relatively, are equal but for the rounding of the samples
SPARE = 3  # candidates beyond the k-th neighbour, so that rounding rarely leaves it open


def kth_neighbours(points: Cloud, k: int) -> NDArray[np.float64]:
    """Squared distance of each point to its k-th nearest other, (n,), exact; in scaled units.

    Each tile off the diagonal serves its rows and its columns.
    """
    nearest = Smallest(len(points), min(k + SPARE, len(points) - 1), points.right.dtype)
    blocks = points.blocks()
    for block in blocks:
        s = points.left(block) @ points.right[block].T
        np.fill_diagonal(s, np.inf)
        nearest.start(block, s)
    for number, block in enumerate(blocks):
        left = points.left(block)
        for other in blocks[number + 1 :]:
            s = left @ points.right[other].T
            nearest.offer_tile(block, other, s)
            nearest.offer_tile(other, block, s.T)
    rows = np.arange(len(points))
    exact = squares(points, rows.repeat(nearest.width), points, nearest.places.reshape(-1))
    kth = np.partition(exact.reshape(len(points), -1), k - 1, axis=1)[:, k - 1]
    if points.rounding == 0 or nearest.width == len(points) - 1:
        return kth
    is_open = np.zeros(len(points), bool)
    for block in blocks:
        # the others of this block have s at least `limit`, so a squared distance of at least limit − e
        others = points.norms[block]
        near = ~points.out_of_reach(slice(None), others, kth)
        is_open |= near & (kth > nearest.limit - points.error(slice(None), others))
    rows = np.flatnonzero(is_open & (kth > 0))  # nothing is nearer than 0
    kth[rows] = _decide(points, rows, kth[rows], k)
    return kth


def _decide(points: Cloud, rows: Places, at_most: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """K-th neighbours of a few points from all that may be as near as `at_most`, by their exact distances."""
    nearest = Smallest(len(rows), k, np.float64)
    for start in range(0, len(rows), TILE):
        part = slice(start, start + TILE)
        left = points.left(rows[part])
        for block in points.blocks():
            others = points.norms[block]
            bound = at_most[part] + points.error(rows[part], others)
            bound[points.out_of_reach(rows[part], others, at_most[part])] = -np.inf
            i, j, _ = _below(left @ points.right[block].T, _up(bound, points.right.dtype)[:, None])
            i, j = i + start, j + block.start
            apart = rows[i] != j
            i, j = i[apart], j[apart]
            nearest.offer(i, j, squares(points, rows[i], points, j))
    return nearest.limit


class Smallest:
    """The `width` smallest numbers of each row seen so far, and their columns."""

    def __init__(self, rows: int, width: int, kind: Any) -> None:
        self.width = width
        self.values = np.full((rows, width), np.inf, kind)
        self.places = np.zeros((rows, width), np.intp)
        self.limit = np.full(rows, np.inf, kind)

    def start(self, block: slice, s: Floats) -> None:
        """Take the smallest of a first tile, whose columns are those of `block`."""
        width = min(self.width, s.shape[1])
        chosen = np.argpartition(s, width - 1, axis=1)[:, :width]
        self.values[block, :width] = np.take_along_axis(s, chosen, axis=1)
        self.places[block, :width] = chosen + block.start
        self.limit[block] = self.values[block].max(axis=1)

    def offer_tile(self, block: slice, others: slice, s: Floats) -> None:
        """Take what is smaller in a tile with rows `block` and columns `others`."""
        i, j, values = _below(s, self.limit[block][:, None])
        self.offer(i + block.start, j + others.start, values)

    def offer(self, rows: Places, columns: Places, values: Floats) -> None:
        """Take what is smaller among numbers that come with their row and column."""
        if not rows.size:
            return
        touched, new = np.unique(rows, return_inverse=True)
        row = np.concatenate([np.arange(touched.size).repeat(self.width), new])
        value = np.concatenate([self.values[touched].reshape(-1), values])
        column = np.concatenate([self.places[touched].reshape(-1), columns])
        order = np.lexsort((value, row))
        starts = np.searchsorted(row[order], np.arange(touched.size))
        first = order[starts[:, None] + np.arange(self.width)]
        self.values[touched], self.places[touched] = value[first], column[first]
        self.limit[touched] = self.values[touched, -1]


class Balls(NamedTuple):
    """What lies in balls around the points of one set, and who among the points of another lies in some.

    Attributes
    ----------
    holding : int array (balls,)
        How many points each ball holds.
    held_by : int array (points,)
        How many balls hold each point.
    """

    holding: NDArray[np.int64]
    held_by: NDArray[np.int64]


def balls_both_ways(
    a: Cloud, b: Cloud, radii_a: NDArray[np.float64], radii_b: NDArray[np.float64]
) -> tuple[Balls, Balls]:
    """Count the points of `b` in open balls around those of `a`, and the other way round, in one pass.

    Parameters
    ----------
    radii_a, radii_b : array (a,), (b,)
        Squared radii, in scaled units.
    """
    around_a, around_b = (Balls(np.zeros(len(x), np.int64), np.zeros(len(y), np.int64)) for x, y in ((a, b), (b, a)))
    for rows in a.blocks():
        left = a.left(rows)
        for columns in b.blocks():
            s = left @ b.right[columns].T
            _count(around_a, a, rows, radii_a, b, columns, s)
            _count(around_b, b, columns, radii_b, a, rows, s.T)
    return around_a, around_b


def _count(
    balls: Balls, centres: Cloud, rows: slice, radii: NDArray[np.float64], points: Cloud, columns: slice, s: Floats
) -> None:
    """Add one tile: pairs below r² − e are in, above r² + e out, and those between are looked at again."""
    single = centres.single and points.single
    reach, others = radii[rows], points.norms[columns]
    e = centres.error(rows, others)
    # distances are compared in the precision of the samples, in which close ones are equal
    if single or e.any():
        e = e + reach * (4 * float(np.finfo(np.float32).eps) if single else 2 * TIE)
    bound = np.where((reach == 0) | centres.out_of_reach(rows, others, reach), -np.inf, reach + e)
    i, j, values = _below(s, _up(bound, s.dtype)[:, None])
    within = values < (reach - e)[i]
    if e.any():
        again = np.flatnonzero(~within)
        exact = squares(centres, i[again] + rows.start, points, j[again] + columns.start)
        within[again] = _seen(exact / (1 - TIE), single) < _seen(reach[i[again]], centres.single)
    balls.holding[rows] += np.bincount(i[within], minlength=len(s))
    balls.held_by[columns] += np.bincount(j[within], minlength=s.shape[1])


def _seen(found: NDArray[np.float64], single: bool) -> Floats:
    """A distance, as the precision of the samples shows it."""
    return np.sqrt(found.astype(np.float32)) if single else np.sqrt(found)


def _up(bound: NDArray[np.float64], kind: Any, strictly: bool = False) -> Floats:
    """The bound in the precision of a tile, rounded so that it does not fall; above itself if asked for."""
    up = np.asarray(bound, kind)
    return np.nextafter(up, np.asarray(np.inf, kind)) if strictly or kind == np.float32 else up


def _below(s: Floats, bound: Floats) -> tuple[Places, Places, Floats]:
    """Row, column and value of what lies below the bound of its row."""
    if s.flags.c_contiguous:
        at = np.flatnonzero(s < bound)
        i, j = np.divmod(at, s.shape[1])
    else:
        # the transpose of a tile: looked through in the order in which it lies in memory
        at = np.flatnonzero(s.T < bound.T)
        j, i = np.divmod(at, s.shape[0])
    return i, j, (s if s.flags.c_contiguous else s.T).reshape(-1)[at]


def pairs_within(points: Cloud, reach: float, copies: NDArray[np.int64]) -> int:
    """Count the pairs at a squared distance of at most `reach`, in scaled units; a point stands for its copies."""
    count = int((copies * (copies - 1) // 2).sum())
    held = copies[points.order]
    blocks = points.blocks()
    for number, block in enumerate(blocks):
        left = points.left(block)
        for other in blocks[number:]:
            others = points.norms[other]
            e = points.error(block, others)
            away = points.out_of_reach(block, others, np.full(len(left), reach))
            bound = _up(np.where(away, -np.inf, reach + e), points.right.dtype, strictly=True)
            i, j, values = _below(left @ points.right[other].T, bound[:, None])
            within = values <= reach - e[i]
            i, j = i + block.start, j + other.start
            if points.rounding > 0:
                again = np.flatnonzero(~within & (i < j))
                within[again] = squares(points, i[again], points, j[again]) <= reach
            within &= i < j
            count += int((held[i[within]] * held[j[within]]).sum())
    return count
