"""Mean and covariance of any number of rows in one pass: exact in any order, and two states merge.

The state is n, the mean m and M = Σ (x − m)(x − m)ᵀ in float64. Rows of float32 are multiplied in float32, a block at a
time, about a shift c near their mean; the products are added up in float64.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[Any]
Float64 = NDArray[np.float64]

BLOCK_BYTES = 12 * 2**20  # of rows multiplied at once: they stay in the cache
MOST_ROWS, LEAST_ROWS = 4096, 512  # of a block; fewer are multiplied in float64
SUMMED = 512  # rows added up in the precision of the data
LARGEST_BYTES = 4 * 2**30  # of a covariance in float64
UNDERFLOW = {np.dtype(np.float32): 1e-24, np.dtype(np.float64): 1e-280}  # mean squares whose parts may vanish


class Moments:
    """Count, mean and covariance of the rows added so far.

    Parameters
    ----------
    features : int
        Columns d of every row.
    exact : bool, default=False
        Multiply float32 rows in float64: twice the work, for eigenvalues that span more than float32 holds.

    Attributes
    ----------
    count : int
        Rows added.

    Raises
    ------
    ValueError
        If two matrices of d × d are too large to hold.

    Examples
    --------
    >>> early, late = Moments(2).add([[0.0, 0.0]]), Moments(2).add([[2.0, 4.0]])
    >>> early.merge(late).covariance()
    array([[1., 2.],
           [2., 4.]])
    """

    def __init__(self, features: int, *, exact: bool = False) -> None:
        if 8 * features**2 > LARGEST_BYTES:
            raise ValueError(
                f"a covariance of {features} features takes {8 * features**2 / 2**30:.0f} GiB; at most "
                f"{LARGEST_BYTES / 2**30:.0f} are held: use the solver for wide data (Lanczos)"
            )
        self.features, self.exact = features, exact
        self.count = 0
        self._mean: Float64 = np.zeros(features)
        self._scatter: Float64 = np.zeros((features, features))
        # rows since the shift was chosen: their sum and Gram matrix about it
        self._open = 0
        self._shift: Matrix = np.zeros(features, np.float32)
        self._sum: Float64 = np.zeros(features)
        self._gram: Float64 | None = None

    def add(self, rows: ArrayLike) -> Self:
        """Count rows (b, d) of real numbers in.

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
        size = max(LEAST_ROWS, min(MOST_ROWS, BLOCK_BYTES // (X.dtype.itemsize * self.features)))
        before = self._copy() if len(X) > size else self
        try:
            for start in range(0, len(X), size):
                self._add_block(X[start : start + size])
        except ValueError:
            self.__dict__.update(before.__dict__)
            raise
        return self

    def merge(self, other: "Moments") -> Self:
        """Count in what another has counted; the other is not changed."""
        if other.features != self.features:
            raise ValueError(f"moments of {other.features} features cannot be merged into those of {self.features}")
        closed = other._copy()
        closed._close()
        self._close()
        self._combine(closed.count, closed._mean, closed._scatter)
        return self

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

    def _add_block(self, block: Matrix) -> None:
        dtype = np.dtype(np.float64 if self.exact else _precision(block.dtype))
        b = len(block)
        if dtype == np.float32 and b >= LEAST_ROWS:
            if self._gram is None:
                self._begin(block)
            s, G = _products(block, self._shift, dtype)
            if not _near(s, G, b):
                # far from the shift: rounding in float32 would be that of the distance
                self._close()
                self._begin(block)
                s, G = _products(block, self._shift, dtype)
            if _in_range(G, b, dtype):
                self._open += b
                self.count += b
                self._sum += s
                assert self._gram is not None
                self._gram += G
                return
        self._add_exactly(block)

    def _begin(self, block: Matrix) -> None:
        """Choose the shift: none where the mean is within the spread, which spares a pass over the rows."""
        some = block[:: max(1, len(block) // SUMMED)].astype(np.float64)
        mean = some.mean(axis=0)
        near = bool(np.all(mean**2 <= some.var(axis=0)))
        self._shift = np.asarray(np.zeros(self.features) if near else mean, np.float32)
        self._gram = np.zeros((self.features, self.features))

    def _add_exactly(self, block: Matrix) -> None:
        """Count a block in in float64, about its own mean."""
        b = len(block)
        if not b:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            rough = block.mean(axis=0, dtype=np.float64)
            s, G = _products(block, rough, np.dtype(np.float64))
            scatter = G - np.outer(s, s / b)
        if not _in_range(G, b, np.dtype(np.float64)):
            _explain(block)
        self._close()
        self._combine(b, rough + s / b, scatter, opened=0)

    def _close(self) -> None:
        """Turn the open sums into moments about their mean."""
        if self._open:
            assert self._gram is not None
            b, s = self._open, self._sum
            scatter = self._gram - np.outer(s, s / b)
            self.count -= b
            self._open, self._gram, self._sum = 0, None, np.zeros(self.features)
            self._combine(b, self._shift + s / b, scatter)

    def _combine(self, n: int, mean: Float64, scatter: Float64, opened: int = 0) -> None:
        """Merge two states: M = M₁ + M₂ + (n₁n₂/n) ΔΔᵀ, Δ the difference of means (Chan et al., 1979, eq. 2.1)."""
        if n:
            total = self.count + n
            step = mean - self._mean
            self._scatter += scatter
            if self.count:
                self._scatter += np.outer(step * (self.count * n / total), step)
            self._mean = self._mean + step * (n / total)
            self.count = total

    def _copy(self) -> "Moments":
        twin = Moments(self.features, exact=self.exact)
        twin.__dict__.update(self.__dict__)
        twin._scatter, twin._sum = self._scatter.copy(), self._sum.copy()
        twin._gram = None if self._gram is None else self._gram.copy()
        return twin


def _precision(dtype: np.dtype[Any]) -> type[np.floating[Any]]:
    """Precision in which products are formed: float32 holds half floats and whole numbers of 16 bits exactly."""
    return np.float32 if dtype == np.float32 or dtype.itemsize <= 2 else np.float64


def _products(block: Matrix, shift: Matrix, dtype: np.dtype[Any]) -> tuple[Float64, Matrix]:
    """Sum (d,) and Gram matrix (d, d) of a block about the shift, formed in `dtype`."""
    with np.errstate(over="ignore", invalid="ignore"):
        X = np.asarray(block, dtype)
        if shift.any():
            X = np.subtract(X, shift, dtype=dtype)
        elif not (X.flags.c_contiguous or X.flags.f_contiguous):
            X = np.ascontiguousarray(X)
        ones = np.ones(SUMMED, dtype)
        s = np.zeros(X.shape[1])
        for start in range(0, len(X), SUMMED):
            part = X[start : start + SUMMED]
            s += ones[: len(part)] @ part
        return s, X.T @ X  # a symmetric rank-k update in NumPy's BLAS


def _near(s: Float64, G: Matrix, b: int) -> bool:
    """Whether the mean is within one standard deviation of the shift, for every feature."""
    squares = np.diag(G).astype(np.float64)
    return bool(np.all(2 * (s / b) ** 2 <= squares / b)) or not np.isfinite(squares).all()


def _in_range(G: Matrix, b: int, dtype: np.dtype[Any]) -> bool:
    """Whether no square overflowed, and none that matters vanished."""
    squares = np.diag(G)
    largest = float(squares.max())
    return bool(np.isfinite(squares).all()) and (largest >= b * UNDERFLOW[dtype])


def _explain(block: Matrix) -> None:
    """Raise what is wrong with a block whose squares are not finite or vanish."""
    finite = np.isfinite(block).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"NaN or infinity in {int((~finite).sum())} of {len(block)} rows, the first is number "
            f"{int(np.argmin(finite))} of its block; remove or fill them"
        )
    if np.ptp(block, axis=0).any():
        largest = float(np.abs(block).max())
        raise ValueError(f"values up to {largest:.3g}: their squares leave the range of float64; rescale the data")
