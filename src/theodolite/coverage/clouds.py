"""Points made ready for tiles of squared distances: centred, scaled, ordered, and with a bound on the rounding.

A tile is one matrix product in single precision. Only what the bound leaves open is computed again, in double
precision, from differences. Points on a dyadic grid (integers, grey values, their halves …) need no second look: their
products have no rounding.

Letters: s a squared distance out of a tile, e the bound on its error.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theodolite.kernel.errors import DataError

Floats = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]

TILE = 2048  # points along each side of a tile
GATHERED = 2**22  # numbers of each side that are held at once when differences are taken
SINGLE_WITHIN, DOUBLE_WITHIN = 1e15, 1e140  # in usual norms; squares of what is farther overflow
JUMPS = 10.0 ** np.arange(1, 300, 2)  # of norms, where a new block begins
CENTRED_BY = 500  # points of each set
GRID_STEPS = (1.0, 2.0**8, 2.0**16)  # samples that are integers after one of these lie on a dyadic grid


@dataclass(frozen=True)
class Cloud:
    """Points made ready for tiles: centred, scaled by a power of two, in the order of their norms.

    That order makes the bound on the error one number for a tile, and an outlier spoils one tile only.

    Attributes
    ----------
    samples : array (n, d)
        As they came; differences are taken of these.
    order : int array (n,)
        Which sample each point is.
    right : array (n, d + 2)
        Rows [y, 1, |y|²]; with rows [−2x, |x|², 1] on the left a product gives |x − y|².
    norms : array (n,)
        |y|, in double precision.
    scale : float
        By which `samples` are multiplied, and differences too.
    rounding : float
        e = rounding · (|x| + |y|)² + least; 0 where the product is exact.
    single : bool
        The samples are float32, in which distances are then compared (as prdc does).
    """

    samples: NDArray[Any]
    order: Places
    right: Floats
    norms: NDArray[np.float64]
    scale: float
    rounding: float
    single: bool

    def __len__(self) -> int:
        return len(self.samples)

    def left(self, chosen: Any) -> Floats:
        """Rows [−2x, |x|², 1] of some of the points."""
        rows = self.right[chosen].copy()
        rows[:, :-2] *= -2
        rows[:, -2], rows[:, -1] = rows[:, -1].copy(), 1
        return np.asarray(rows)

    def blocks(self) -> list[slice]:
        """Slices of at most `TILE` points with norms of one order, so that outliers are among themselves."""
        usual = self.norms[len(self) // 2]
        jumps = np.searchsorted(self.norms, usual * JUMPS) if usual > 0 else []
        ends = np.unique([0, *jumps, len(self)])
        cuts = [
            np.linspace(start, stop, math.ceil((stop - start) / TILE) + 1).astype(int)[1:]
            for start, stop in itertools.pairwise(ends)
        ]
        return [slice(int(a), int(b)) for a, b in itertools.pairwise([0, *np.concatenate(cuts)])]

    def error(self, chosen: Any, others: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bound e on the error of s, for some of the points against any of the norms `others` (ascending)."""
        if self.rounding == 0:
            return np.zeros(len(self.norms[chosen]))
        # 1e-37 for each product that may have been lost below the range of single precision
        return np.asarray(self.rounding * (self.norms[chosen] + others[-1]) ** 2 + self.right.shape[1] * 1e-37)

    def out_of_reach(self, chosen: Any, others: NDArray[np.float64], reach: NDArray[np.float64]) -> Flags:
        """Whether all points of the norms `others` are farther than a squared distance: ||x| − |y|| ≤ |x − y|."""
        own = self.norms[chosen]
        gap = np.maximum(others[0] - own, own - others[-1]) - 1e-6 * (own + others[-1])
        return np.asarray((gap > 0) & (gap**2 > reach))


def clouds(*sets: NDArray[Any]) -> tuple[Cloud, ...]:
    """Make sets of points ready, with one centre and one scale for all.

    Parameters
    ----------
    sets : arrays (n, …)
        At least one point each; memory-maps are read in blocks.

    Raises
    ------
    DataError
        If a value is not a finite number, or the widths differ.
    """
    flat = [_rows(samples) for samples in sets]
    if len({samples.shape[1] for samples in flat}) > 1:
        widths = " and ".join(str(samples.shape[1]) for samples in flat)
        raise DataError(f"samples have {widths} numbers each; all must have the same")
    width = flat[0].shape[1]
    low, high = _range(flat)
    largest = max(float(np.abs(low).max()), float(np.abs(high).max()))
    # a power of two brings the largest number to 1, so that nothing overflows when it is squared
    scale = _power_of_two(largest)
    if step := _grid_step(flat, low, high):
        centre = np.round((low / 2 + high / 2) * step)
        reach = float(np.sum(np.maximum(high * step - centre, centre - low * step) ** 2))
        # every partial sum of a product is an integer of at most (|x| + |y|)²
        kind: Any = np.float32 if 4 * reach < 2**24 else np.float64
        orders = [_order(_sizes(samples, centre, step)) for samples in flat]
        return tuple(_cloud(*one, centre, step, kind, 0.0) for one in zip(flat, orders, strict=True))
    # any centre will do; the median of some points is not drawn away by an outlier, as their mean is
    centre = np.median(np.concatenate([_some(samples) for samples in flat]) * scale, axis=0)
    sizes = [_sizes(samples, centre, scale) for samples in flat]
    # largest coordinates, whose squares cannot be lost
    extents = np.concatenate([extent for extent, _ in sizes])
    farthest = float(extents.max())
    usual = float(np.median(extents)) or farthest or 1.0
    if farthest > DOUBLE_WITHIN * usual:
        raise DataError("some samples lie 1e140 times as far out as the usual one; remove them")
    refined = _power_of_two(usual)
    kind = np.float32 if farthest * math.sqrt(width) <= SINGLE_WITHIN * usual else np.float64
    # d + 2 products and sums, the rounding of both points and of both squared norms; Higham (2002), section 3.1
    rounding = 1.01 * (width + 10) * float(np.finfo(kind).eps) / 2
    orders = [_order(size) for size in sizes]
    return tuple(
        _cloud(*one, centre * refined, scale * refined, kind, rounding) for one in zip(flat, orders, strict=True)
    )


def _power_of_two(size: float) -> float:
    """Return what brings a number near 1; kept away from the ends of the range."""
    return 2.0 ** -min(max(math.frexp(size)[1], -500), 1000) if size > 0 else 1.0


def squares(a: Cloud, rows: Places, b: Cloud, columns: Places) -> NDArray[np.float64]:
    """Squared distances of pairs of points from their differences, in double precision."""
    found = np.empty(len(rows))
    length = max(1, GATHERED // a.samples.shape[1])
    for start in range(0, len(rows), length):
        part = slice(start, start + length)
        # scaled first: the difference of two huge numbers may overflow
        x = a.samples[a.order[rows[part]]].astype(np.float64) * a.scale
        x -= b.samples[b.order[columns[part]]].astype(np.float64) * b.scale
        found[part] = np.einsum("ij,ij->i", x, x)
    return found


def _rows(samples: NDArray[Any]) -> NDArray[Any]:
    array = samples if isinstance(samples, np.ndarray) else np.asarray(samples)
    if array.ndim < 1 or not len(array) or array.dtype.kind not in "biuf":
        raise DataError(f"samples of type {array.dtype} and shape {array.shape} came; numbers (n, …) are needed")
    return array.reshape(len(array), -1)


def _parts(samples: NDArray[Any]) -> Iterator[slice]:
    length = max(1, GATHERED // max(1, samples.shape[1]))
    for start in range(0, len(samples), length):
        yield slice(start, start + length)


def _in_blocks(samples: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    for part in _parts(samples):
        yield np.asarray(samples[part], dtype=np.float64)


def _range(sets: list[NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest value of each column."""
    parts = [samples[part] for samples in sets for part in _parts(samples)]
    low = np.min([part.min(axis=0).astype(np.float64) for part in parts], axis=0)
    high = np.max([part.max(axis=0).astype(np.float64) for part in parts], axis=0)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise DataError("samples hold values that are not finite; remove those rows")
    return low, high


def _grid_step(sets: list[NDArray[Any]], low: NDArray[np.float64], high: NDArray[np.float64]) -> float | None:
    """Return what makes integers of all samples, small enough for exact products; None where nothing does."""
    for step in GRID_STEPS:
        reach = (high - low) * step + 1
        if max(abs(low).max(), abs(high).max()) * step >= 2.0**53 or 4 * float(reach @ reach) >= 2.0**53:
            return None
        if all((part * step == np.round(part * step)).all() for samples in sets for part in _in_blocks(samples)):
            return step
    return None


def _some(samples: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(samples[:: max(1, len(samples) // CENTRED_BY)], dtype=np.float64)


def _sizes(
    samples: NDArray[Any], centre: NDArray[np.float64], scale: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Largest coordinate and squared norm of each sample times `scale` less `centre`."""
    extents, squared = np.empty(len(samples)), np.empty(len(samples))
    for part in _parts(samples):
        x = samples[part] * np.float64(scale)
        x -= centre
        squared[part] = np.einsum("ij,ij->i", x, x)
        extents[part] = np.maximum(x.max(axis=1), -x.min(axis=1))
    return extents, squared


def _order(sizes: tuple[NDArray[np.float64], NDArray[np.float64]]) -> Places:
    """By the norm, or by the largest coordinate where the square of the norm is lost."""
    extents, squared = sizes
    return np.asarray(np.lexsort((extents, squared)))


def _cloud(
    samples: NDArray[Any], order: Places, centre: NDArray[np.float64], scale: float, kind: Any, rounding: float
) -> Cloud:
    """Samples times `scale` less `centre`, in that order."""
    right = np.ones((len(samples), samples.shape[1] + 2), kind)
    squared = np.empty(len(samples))
    for part in _parts(samples):
        x = samples[order[part]] * np.float64(scale)
        x -= centre
        right[part, :-2] = x
        # the norm of what was rounded: the error of s is then that of the product
        rounded = right[part, :-2].astype(np.float64)
        squared[part] = np.einsum("ij,ij->i", rounded, rounded)
    right[:, -1] = squared
    # rounding may have exchanged neighbours in the order
    norms = np.maximum.accumulate(np.sqrt(squared))
    return Cloud(samples, order, right, norms, scale, rounding, samples.dtype == np.float32)
