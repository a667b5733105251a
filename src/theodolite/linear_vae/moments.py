"""Mean and covariance of any number of rows in one pass: the same in any order, and two states merge.

The state is n, the mean m and the scatter M = Σ (x − m)(x − m)ᵀ in float64. Blocks of rows are multiplied about a shift
c near their mean, in float64, or (`single`) in float32, and added up in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theodolite.kernel.environment import memory_bytes

Matrix = NDArray[Any]
Float64 = NDArray[np.float64]

BLOCK_BYTES = 12 * 2**20  # of rows multiplied at once: they stay in the cache
MOST_ROWS, LEAST_ROWS = 16384, 512  # of a block; fewer are multiplied in float64
SUMMED = 512  # rows added up in the precision of the data
CHECKED = 32  # one block in so many is squared in float64 too, to see how float32 rounds
OFF_GRID = 0.0371  # of a standard deviation, see `_shift`
BITS = 16  # of it: of float32's 24, what is left for numbers some standard deviations large
LEAST_ROUNDING = 5e-8  # relative, of a sum in float32 where none was seen
SMALLEST_SQUARE, SMALLEST_SINGLE = 1e-280, 1e-24  # of float64 and float32: below, products that matter vanish


def fits_single(dtype: np.dtype[Any]) -> bool:
    """Whether float32 holds numbers of this type, and products of them are worth forming in it."""
    return dtype == np.float32 or (dtype.itemsize <= 2 and dtype.kind != "b")


class Rounding(NamedTuple):
    """What float32 did to the diagonal of a covariance: the bias (d,) and the standard error (d,), squared units."""

    bias: Float64
    spread: Float64


class Moments:
    """Count, mean and covariance of the rows added so far.

    Parameters
    ----------
    features : int
        Columns d of every row.
    single : bool, default=False
        Multiply float32 rows (and whole numbers of 16 bits) in float32: half the work. `rounding` says what that cost;
        rows that can be read again should be, where it is too much.

    Attributes
    ----------
    count : int
        Rows added.

    Raises
    ------
    ValueError
        If the matrices (d, d) do not fit in memory.

    Examples
    --------
    >>> early, late = Moments(2).add([[0.0, 0.0]]), Moments(2).add([[2.0, 4.0]])
    >>> early.merge(late).covariance()
    array([[1., 2.],
           [2., 4.]])
    """

    def __init__(self, features: int, *, single: bool = False) -> None:
        needed, there = 4 * 8 * features**2, memory_bytes()
        if needed > there:
            raise ValueError(
                f"the covariance of {features} features needs {needed / 2**30:.1f} GiB, there are {there / 2**30:.1f}; "
                "use the solver for wide data (lanczos)"
            )
        self.features, self.single = features, single
        self.count = 0
        self._mean: Float64 = np.zeros(features)
        self._scatter: Float64 = np.zeros((features, features))
        self._sums: _Sums | None = None  # of float32, about their shift
        # of blocks multiplied in float32 Σ diagonal²; of those checked Σ diagonal, Σ error, Σ (error / diagonal)², Σ 1
        self._noted: Float64 = np.zeros((5, features))
        self._blocks = 0

    def add(self, rows: ArrayLike) -> Self:
        """Count in rows (b, d) of real numbers.

        Raises
        ------
        ValueError
            If the shape is another, a number is NaN or infinite, or its square leaves the range of float64. The state
            is then as before.
        """
        X = np.asarray(rows)
        if X.dtype.kind not in "biuf" or X.ndim != 2 or X.shape[1] != self.features:
            raise ValueError(
                f"rows of shape {X.shape} and type {X.dtype} were given; numbers (rows, {self.features}) are needed"
            )
        size = self.block_rows(X.dtype)
        before = self._copy() if len(X) > size else self
        try:
            for start in range(0, len(X), size):
                self._add_block(X[start : start + size])
        except ValueError as error:
            self.__dict__.update(before.__dict__)
            raise ValueError(f"{error} (rows {start} to {min(start + size, len(X)) - 1} of those given)") from None
        return self

    def block_rows(self, dtype: np.dtype[Any]) -> int:
        """Return how many rows of this type are multiplied at once: the best size of a block to `add`."""
        return max(LEAST_ROWS, min(MOST_ROWS, BLOCK_BYTES // (dtype.itemsize * self.features)))

    def merge(self, other: "Moments") -> Self:
        """Count in what another has counted; the other is not changed."""
        if other.features != self.features:
            raise ValueError(f"moments of {other.features} features cannot be merged into those of {self.features}")
        theirs = other._copy()
        theirs._close()
        self._close()
        self._combine(theirs.count, theirs._mean, theirs._scatter)  # a copy, which it may keep
        self._noted = self._noted + theirs._noted
        return self

    def state(self) -> tuple[Float64, Float64, Float64]:
        """Count (), mean (d,) and scatter (d, d): all there is to know, for `from_state` in another process."""
        self._close()
        return np.asarray(float(self.count)), self._mean, self._scatter

    @classmethod
    def from_state(cls, state: Sequence[Float64]) -> Self:
        """Rebuild what `state` described."""
        count, mean, scatter = state
        found = cls(len(mean))
        found.count, found._mean, found._scatter = int(count), mean.copy(), scatter.copy()
        return found

    @property
    def mean(self) -> Float64:
        """Mean of the rows, (d,)."""
        self._close()
        if not self.count:
            raise ValueError("no rows were added; there is no mean")
        return self._mean.copy()

    def covariance(self, ddof: int = 0) -> Float64:
        """Covariance of the rows, divided by n − ddof, (d, d).

        Raises
        ------
        ValueError
            If fewer than two rows, or no more than `ddof`, were added.
        """
        self._close()
        if self.count < 2 or self.count <= ddof:
            raise ValueError(f"{self.count} rows were added; a covariance with ddof={ddof} needs {max(2, ddof + 1)}")
        return self._scatter / (self.count - ddof)

    @property
    def rounding(self) -> Rounding:
        """What multiplying in float32 did to the diagonal of the covariance: an estimate, from the blocks checked.

        Rounding is random as a rule and averages out over blocks. It has a bias where numbers lie on a coarse grid of
        powers of two, or take few values: their squares then round in one direction.
        """
        squares, diagonal, error, relative, seen = self._noted
        if not squares.any():
            return Rounding(np.zeros(self.features), np.zeros(self.features))
        bias = np.divide(error, diagonal, where=diagonal > 0, out=np.zeros(self.features))
        share = max(LEAST_ROUNDING, float(np.sqrt(relative.sum() / max(seen.sum(), 1))))
        return Rounding(bias * np.diag(self.covariance()), share * np.sqrt(squares) / self.count)

    def _add_block(self, block: Matrix) -> None:
        if self.single and len(block) >= LEAST_ROWS and fits_single(block.dtype):
            shift = _shift(block) if self._sums is None else self._sums.shift
            found = _Sums.of(block, shift, np.float32)
            if not found.near:
                # far from the shift: what float32 rounds would be the distance, not the spread
                self._close()
                found = _Sums.of(block, _shift(block), np.float32)
            if found.in_range(np.float32):
                self._note(block, found)
                self._sums = found if self._sums is None else self._sums.plus(found)
                self.count += found.count
                return
        if len(block):
            with np.errstate(over="ignore", invalid="ignore"):
                mean = block.mean(axis=0, dtype=np.float64)
            found = _Sums.of(block, mean[None], np.float64)
            if not found.in_range(np.float64):
                refuse(block)
            self._close()
            self._combine(*found.moments)

    def _note(self, block: Matrix, found: "_Sums") -> None:
        """Keep the size of the sums, and now and then how much float32 rounded them."""
        diagonal = np.diag(found.gram)
        self._noted = self._noted.copy()
        self._noted[0] += diagonal**2
        if self._blocks % CHECKED == 0:
            error = diagonal - _squared(_shifted(block, found.shift, np.float32))
            there = diagonal > 0
            relative = np.divide(error, diagonal, where=there, out=np.zeros(self.features))
            self._noted[1:] += diagonal, error, relative**2, there
        self._blocks += 1

    def _close(self) -> None:
        """Turn the sums about the shift into moments about the mean."""
        if self._sums is not None:
            self.count -= self._sums.count
            self._combine(*self._sums.moments)
            self._sums = None

    def _combine(self, n: int, mean: Float64, scatter: Float64) -> None:
        """Merge: M = M₁ + M₂ + (n₁n₂/n) ΔΔᵀ, Δ the difference of the means (Chan et al., 1983, eq. 2.1)."""
        if not n:
            return
        total, step = self.count + n, mean - self._mean
        if self.count:
            with np.errstate(over="ignore"):
                between = np.outer(step * (self.count * n / total), step)
            if not np.isfinite(np.diag(between)).all():
                raise ValueError("squares of the distance between two sets of rows overflow float64; rescale the data")
            scatter += between
            scatter += self._scatter
        self._scatter = scatter
        self._mean = self._mean + step * (n / total)
        self.count = total

    def _copy(self) -> "Moments":
        twin = Moments(self.features, single=self.single)
        twin.__dict__.update(self.__dict__)
        twin._scatter = self._scatter.copy()
        if self._sums is not None:
            twin._sums = replace(self._sums, gram=self._sums.gram.copy())
        return twin


@dataclass
class _Sums:
    """Rows counted, their sum (d,) and Gram matrix (d, d) about a shift, which is the sum of the rows of `shift`."""

    shift: Matrix
    count: int
    sum: Float64
    gram: Matrix

    @classmethod
    def of(cls, block: Matrix, shift: Matrix, dtype: type[np.floating[Any]]) -> "_Sums":
        with np.errstate(over="ignore", invalid="ignore"):
            X = _shifted(block, shift, dtype)
            ones = np.ones(SUMMED, dtype)
            s = np.zeros(X.shape[1])
            for start in range(0, len(X), SUMMED):
                part = X[start : start + SUMMED]
                s += ones[: len(part)] @ part
            # NumPy's BLAS sees one matrix twice: a symmetric rank-k update
            return cls(shift, len(X), s, X.T @ X)

    @property
    def near(self) -> bool:
        """Whether the mean is within a standard deviation of the shift, for every feature, as far as can be told."""
        squares = np.diag(self.gram).astype(np.float64)
        return not np.isfinite(squares).all() or bool(np.all(2 * self.sum**2 <= self.count * squares))

    def in_range(self, dtype: type[np.floating[Any]]) -> bool:
        """Whether no square overflowed, and none that matters vanished."""
        squares = np.diag(self.gram)
        least = SMALLEST_SINGLE if dtype == np.float32 else SMALLEST_SQUARE
        return bool(np.isfinite(squares).all() and squares.max() >= self.count * least)

    @property
    def moments(self) -> tuple[int, Float64, Float64]:
        """Count, mean and scatter about it."""
        mean = self.sum / self.count
        scatter = -np.outer(self.sum, mean)
        scatter += self.gram
        return self.count, self.shift.sum(axis=0, dtype=np.float64) + mean, scatter

    def plus(self, block: "_Sums") -> "_Sums":
        """Return both; in place, and in float64."""
        gram = self.gram if self.gram.dtype == np.float64 else self.gram.astype(np.float64)
        gram += block.gram
        return _Sums(self.shift, self.count + block.count, self.sum + block.sum, gram)


def _shift(block: Matrix) -> Matrix:
    """Choose what to subtract from rows of float32, (0, d) or (2, d).

    Nothing where the mean is within the spread, which spares a pass. Else the mean, and after it a little more, for far
    from zero float32 numbers lie on a coarse grid; so do their differences, and squares of such all round one way. That
    little has few bits, so that subtracting it rounds nothing there.
    """
    some = block[:: max(1, len(block) // SUMMED)]
    with np.errstate(over="ignore", invalid="ignore"):
        mean, variance = some.mean(axis=0, dtype=np.float64), some.var(axis=0, dtype=np.float64)
        if np.all(mean**2 <= variance):
            return np.zeros((0, block.shape[1]), np.float32)
        mantissa, exponent = np.frexp(OFF_GRID * np.sqrt(variance))
        return np.stack([mean, np.ldexp(np.round(mantissa * 2**BITS) / 2**BITS, exponent)]).astype(np.float32)


def _shifted(block: Matrix, shift: Matrix, dtype: type[np.floating[Any]]) -> Matrix:
    X: Matrix
    if len(shift):
        X = np.empty(block.shape, dtype)
        for start in range(0, len(X), SUMMED // 2):
            few = slice(start, start + SUMMED // 2)
            np.subtract(block[few], shift[0], out=X[few], dtype=dtype)
            for part in shift[1:]:
                X[few] -= part
        return X
    X = np.asarray(block, dtype)
    return X if X.flags.c_contiguous or X.flags.f_contiguous else np.ascontiguousarray(X)


def _squared(X: Matrix) -> Float64:
    """Sum of the squares of each column, in float64, (d,)."""
    total = np.zeros(X.shape[1])
    for start in range(0, len(X), SUMMED // 4):
        part = X[start : start + SUMMED // 4].astype(np.float64)
        total += np.square(part, out=part).sum(axis=0)
    return total


def refuse(block: Matrix) -> None:
    """Say what is wrong with rows whose squares are not finite or vanish; rows that are all equal are right.

    Raises
    ------
    ValueError
        Unless they are.
    """
    finite = np.isfinite(block).all(axis=1)
    if not finite.all():
        raise ValueError(f"NaN or infinity in {int((~finite).sum())} of {len(block)} rows; remove or fill them")
    if (block != block[0]).any():
        raise ValueError(
            f"values up to {float(np.abs(block).max()):.3g}: their squares leave the range of float64; rescale the data"
        )
