"""Products with the covariance of rows, which is never formed: one pass over the rows for each."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theodolite.data.rows import Rows
from theodolite.linear_vae.moments import SMALLEST_SINGLE, SMALLEST_SQUARE, fits_single, refuse

Float64 = NDArray[np.float64]

CACHE_BYTES = 2**20  # of rows that are multiplied twice while they are near
LARGEST = {4: 1e36, 8: 1e280}  # sum of squares, by bytes a number


class Products:
    """Mean, sum of squares and products of rows about their mean, in the precision of the rows.

    Attributes
    ----------
    mean : (d,) array
        Of the rows.
    squares : float
        Sum of the squares of all numbers about the mean: n times the trace of the covariance.
    passes : int
        How often the rows were read.

    Raises
    ------
    ValueError
        If a number is NaN or infinite, or its square leaves the range of float64.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows, self._n = rows, rows.shape[0]
        self.passes = 0
        self.dtype = np.dtype(np.float32 if fits_single(rows.dtype) else np.float64)
        first = next(rows.blocks()).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            self._describe(np.zeros(rows.shape[1]))
            if not np.sum(self._left**2) * self._n <= self.squares and self._n > 1:
                # the mean is farther from zero than the rows from the mean
                self._describe(first.mean(axis=0))
                self._describe(self.mean)
            if self.dtype == np.float32 and not SMALLEST_SINGLE * self._n <= self.squares <= LARGEST[4]:
                self.dtype = np.dtype(np.float64)
                self._describe(first.mean(axis=0))
                self._describe(self.mean)
        if not SMALLEST_SQUARE * self._n <= self.squares <= LARGEST[8]:
            for block in rows.blocks():
                refuse(block)
            if not self.squares <= LARGEST[8]:
                raise ValueError("squares of the distance between rows overflow float64; rescale the data")

    def times(self, V: Float64) -> Float64:
        """Return Σ (x − m)(x − m)ᵀ V for V (d, m), (d, m)."""
        narrow = V.astype(self.dtype)
        total = np.zeros(V.shape[::-1])
        for block in self._blocks():
            total += (block @ narrow).T @ block
        # the rows are taken about the shift, not quite the mean
        return np.asarray(total.T - self._n * np.outer(self._left, self._left @ V))

    def _describe(self, shift: Float64) -> None:
        self._shift = shift.astype(self.dtype)
        total, squares = np.zeros(len(shift)), 0.0
        for block in self._blocks():
            total += np.ones(len(block), self.dtype) @ block
            squares += float(np.sum(np.matmul(block[:, None, :], block[:, :, None]), dtype=np.float64))
        self._left = total / self._n
        self.mean = self._shift + self._left
        self.squares = squares - self._n * float(self._left @ self._left)

    def _blocks(self) -> Iterator[NDArray[Any]]:
        """Yield the rows about the shift, few at a time."""
        self.passes += 1
        size = max(1, CACHE_BYTES // (self._rows.shape[1] * self.dtype.itemsize))
        shifted = bool(self._shift.any())
        for block in self._rows.blocks():
            for start in range(0, len(block), size):
                part = block[start : start + size]
                yield np.subtract(part, self._shift, dtype=self.dtype) if shifted else np.asarray(part, self.dtype)
