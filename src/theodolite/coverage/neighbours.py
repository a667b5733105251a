"""Nearest neighbours and balls around points: exact, tile by tile, without a matrix of all distances.

Letters: s a squared distance out of a tile, e the bound on its error (see `theodolite.coverage.clouds`).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from theodolite.coverage.clouds import TILE, Cloud, Flags, Floats, Places, squares
from theodolite.coverage.threads import in_threads

TIE = 1e-12  # squared distances that differ by less, relatively, are equal but for the rounding of the samples
SPARE = 3  # candidates beyond the k-th neighbour, so that rounding rarely leaves it open


def kth_neighbours(points: Cloud, k: int) -> NDArray[np.float64]:
    """Squared distance of each point to its k-th nearest other, (n,), exact; in scaled units.

    Each tile off the diagonal serves its rows and its columns.
    """
    nearest = Smallest(len(points), min(k + SPARE, len(points) - 1), points.right.dtype)
    blocks = points.blocks()

    def own(block: slice) -> tuple[slice, Floats, Places]:
        s = points.left(block) @ points.right[block].T
        np.fill_diagonal(s, np.inf)
        width = min(nearest.width, len(s))
        chosen = np.argpartition(s, width - 1, axis=1)[:, :width]
        return block, np.take_along_axis(s, chosen, axis=1), chosen + block.start

    def others(tile: Tile) -> tuple[Tile, Hits, Hits]:
        s = tile.left @ points.right[tile.columns].T
        # the limits may fall meanwhile: a hit too many does no harm
        return tile, below(s, nearest.limit[tile.rows]), below(s.T, nearest.limit[tile.columns])

    for block, values, places in in_threads(own, blocks):
        nearest.merge(block, values, places)
    for tile, in_rows, in_columns in in_threads(others, tiles(points, points, once=True)):
        nearest.offer(tile.rows, in_rows, tile.columns.start)
        nearest.offer(tile.columns, in_columns, tile.rows.start)
    kth = _kth_of(points, nearest, k)
    if points.rounding == 0 or nearest.width == len(points) - 1:
        return kth
    is_open = np.zeros(len(points), bool)
    for block in blocks:
        # the others of this block have s at least `limit`, so a squared distance of at least limit − e
        norms = points.norms[block]
        near = ~points.out_of_reach(slice(None), norms, kth)
        is_open |= near & (kth > nearest.limit - points.error(slice(None), norms))
    again = np.flatnonzero(is_open & (kth > 0))  # nothing is nearer than 0
    kth[again] = _decide(points, again, kth[again], k)
    return kth


def _kth_of(points: Cloud, nearest: "Smallest", k: int) -> NDArray[np.float64]:
    """K-th smallest exact distance among the candidates; those that are surely nearer, or farther, are not computed."""
    s = nearest.values.astype(np.float64)
    e = points.error(slice(None), points.norms[-1:])[:, None]
    at = np.partition(s, k - 1, axis=1)[:, k - 1 : k]
    exact = np.where(s < at - 2 * e, -np.inf, np.inf)
    i, j = np.nonzero(np.abs(s - at) <= 2 * e)
    exact[i, j] = squares(points, i, points, nearest.places[i, j])
    return np.asarray(np.partition(exact, k - 1, axis=1)[:, k - 1])


def _decide(points: Cloud, rows: Places, at_most: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """K-th neighbours of a few points from all that may be as near as `at_most`, by their exact distances."""
    nearest = Smallest(len(rows), k, np.float64)
    for start in range(0, len(rows), TILE):
        part = slice(start, start + TILE)
        left = points.left(rows[part])
        for block in points.blocks():
            norms = points.norms[block]
            bound = at_most[part] + points.error(rows[part], norms)
            bound[points.out_of_reach(rows[part], norms, at_most[part])] = -np.inf
            i, j, _ = below(left @ points.right[block].T, _up(bound, points.right.dtype))
            apart = rows[part][i] != j + block.start
            i, j = i[apart], j[apart]
            exact = squares(points, rows[part][i], points, j + block.start)
            nearest.offer(part, Hits(i, j, exact), block.start)
    return nearest.limit


class Tile(NamedTuple):
    """Rows of one cloud, made ready for a product, and columns of another."""

    rows: slice
    columns: slice
    left: Floats


def tiles(a: Cloud, b: Cloud, once: bool = False) -> Iterator[Tile]:
    """All pairs of blocks; with `once` each pair of different blocks of one cloud in one order only."""
    for number, rows in enumerate(a.blocks()):
        left = a.left(rows)
        yield from (Tile(rows, columns, left) for columns in b.blocks()[number + 1 if once else 0 :])


class Hits(NamedTuple):
    """Entries of a tile: row, column and value."""

    rows: Places
    columns: Places
    values: Floats


class Smallest:
    """The `width` smallest numbers of each row seen so far, and their columns."""

    def __init__(self, rows: int, width: int, kind: Any) -> None:
        self.width = width
        self.values = np.full((rows, width), np.inf, kind)
        self.places = np.zeros((rows, width), np.intp)
        self.limit = np.full(rows, np.inf, kind)

    def offer(self, block: slice, hits: Hits, first_column: int) -> None:
        """Take what is smaller among entries of a tile with rows `block`."""
        if not hits.rows.size:
            return
        count = np.bincount(hits.rows, minlength=len(self.limit[block]))
        # the entries of each row side by side, filled up with infinity
        order = np.argsort(hits.rows, kind="stable")
        row = hits.rows[order]
        rank = np.arange(row.size) - (np.cumsum(count) - count)[row]
        values = np.full((count.size, int(count.max())), np.inf, self.values.dtype)
        places = np.zeros(values.shape, np.intp)
        values[row, rank], places[row, rank] = hits.values[order], hits.columns[order] + first_column
        self.merge(block, values, places)

    def merge(self, block: slice, values: Floats, places: Places) -> None:
        """Take what is smaller among as many numbers for each row of `block`."""
        values = np.concatenate([self.values[block], values], axis=1)
        places = np.concatenate([self.places[block], places], axis=1)
        chosen = np.argpartition(values, self.width - 1, axis=1)[:, : self.width]
        self.values[block] = np.take_along_axis(values, chosen, axis=1)
        self.places[block] = np.take_along_axis(places, chosen, axis=1)
        self.limit[block] = self.values[block].max(axis=1)


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

    def both(tile: Tile) -> tuple[Tile, Hits, Hits]:
        s = tile.left @ b.right[tile.columns].T
        in_a = _inside(s, a, tile.rows, radii_a, b, tile.columns)
        return tile, in_a, _inside(s.T, b, tile.columns, radii_b, a, tile.rows)

    for tile, in_a, in_b in in_threads(both, tiles(a, b)):
        rows, columns = tile.rows, tile.columns
        for balls, hits, own, others in ((around_a, in_a, rows, columns), (around_b, in_b, columns, rows)):
            balls.holding[own] += np.bincount(hits.rows, minlength=own.stop - own.start)
            balls.held_by[others] += np.bincount(hits.columns, minlength=others.stop - others.start)
    return around_a, around_b


def _inside(s: Floats, centres: Cloud, rows: slice, radii: NDArray[np.float64], points: Cloud, columns: slice) -> Hits:
    """Entries of a tile that lie in a ball: surely below r² − e; up to r² + e they are looked at again."""
    single = centres.single and points.single
    reach, norms = radii[rows], points.norms[columns]
    e = centres.error(rows, norms)
    # distances are compared in the precision of the samples, in which close ones are equal
    if single or e.any():
        e = e + reach * (4 * float(np.finfo(np.float32).eps) if single else 2 * TIE)
    bound = np.where((reach == 0) | centres.out_of_reach(rows, norms, reach), -np.inf, reach + e)
    i, j, values = below(s, _up(bound, s.dtype))
    within: Flags = values < (reach - e)[i]
    if e.any():
        again = np.flatnonzero(~within)
        exact = squares(centres, i[again] + rows.start, points, j[again] + columns.start)
        within[again] = _seen(exact / (1 - TIE), single) < _seen(reach[i[again]], centres.single)
    return Hits(i[within], j[within], values[within])


def _seen(found: NDArray[np.float64], single: bool) -> Floats:
    """A distance, as the precision of the samples shows it."""
    return np.sqrt(found.astype(np.float32)) if single else np.sqrt(found)


def _up(bound: NDArray[np.float64], kind: Any, strictly: bool = False) -> Floats:
    """The bound in the precision of a tile, rounded so that it does not fall; above itself if asked for."""
    up = np.asarray(bound, kind)
    return np.nextafter(up, np.asarray(np.inf, kind)) if strictly or kind == np.float32 else up


def below(s: Floats, bound: Floats) -> Hits:
    """Return the entries of a tile that lie below the bound of their row."""
    if s.flags.c_contiguous:
        at = np.flatnonzero(s < bound[:, None])
        i, j = np.divmod(at, s.shape[1])
        return Hits(i, j, s.reshape(-1)[at])
    # the transpose of a tile: looked through in the order in which it lies in memory
    at = np.flatnonzero(bound > s.T)
    j, i = np.divmod(at, s.shape[0])
    return Hits(i, j, s.T.reshape(-1)[at])


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
            i, j, values = below(left @ points.right[other].T, bound)
            within = values <= reach - e[i]
            i, j = i + block.start, j + other.start
            if points.rounding > 0:
                again = np.flatnonzero(~within & (i < j))
                within[again] = squares(points, i[again], points, j[again]) <= reach
            within &= i < j
            count += int((held[i[within]] * held[j[within]]).sum())
    return count
