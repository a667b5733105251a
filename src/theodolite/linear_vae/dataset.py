"""The data of a run: rows that need not fit in memory, split, and read with their mean subtracted."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from theodolite.data.digits import SIDE, digits, split
from theodolite.data.rows import Rows, open_rows
from theodolite.data.tables import read_table
from theodolite.kernel.errors import DataError, UsageError
from theodolite.linear_vae.config import LinearVAEConfig
from theodolite.linear_vae.moments import Moments

MOST_COLUMNS = 8192  # a covariance of so many rows takes 0.5 GiB

LARGEST = 1e100  # beyond it, and below its inverse, a variance leaves the range of float64
ROUNDING = 1e-15

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Dataset:
    """Rows of a source, and which of them are held out.

    Attributes
    ----------
    rows : Rows
        All of them, (n, d), as stored.
    held_out : (n,) bool
        Whether training never sees the row.
    sha256 : str
        Hash of the source.
    name : str
        What the source is called in messages.
    image_shape : (int, int) or None
        Rows and columns, where a sample is a grey image.
    """

    rows: Rows
    held_out: NDArray[np.bool_]
    sha256: str
    name: str
    image_shape: tuple[int, int] | None

    @property
    def held_out_ids(self) -> NDArray[np.int64]:
        """Rows of the source that are held out."""
        return np.flatnonzero(self.held_out)

    @property
    def train_ids(self) -> NDArray[np.int64]:
        """Rows of the source that are trained on."""
        return np.flatnonzero(~self.held_out)

    def moments(self, part: int = 0, parts: int = 1) -> Moments:
        """Read the training rows once, or every `parts`-th block of them, into their exact moments.

        Raises
        ------
        DataError
            If a value is not finite or too large, or if all rows are as good as equal.
        """
        found = Moments(self.rows.shape[1])
        start = 0
        try:
            for number, block in enumerate(self.rows.blocks()):
                if number % parts == part:
                    self._check(block)
                    found.add(block[~self.held_out[start : start + len(block)]])
                start += len(block)
        except ValueError as error:
            raise DataError(f"{self.name}: {error}") from None
        return found

    def summary(self) -> "Summary":
        """Mean and covariance of the training rows, by one pass; see `moments`."""
        moments = self.moments()
        return summarise(moments, self.name)

    def blocks(self, mean: Matrix) -> Iterator[Matrix]:
        """Training rows in float64, less a mean, a block at a time."""
        return self._blocks(~self.held_out, mean)

    def held_out_blocks(self, mean: Matrix) -> Iterator[Matrix]:
        """Held-out rows in float64, less a mean, a block at a time."""
        return self._blocks(self.held_out, mean)

    def _blocks(self, wanted: NDArray[np.bool_], mean: Matrix) -> Iterator[Matrix]:
        start = 0
        for block in self.rows.blocks():
            kept = block[wanted[start : start + len(block)]]
            start += len(block)
            if len(kept):
                yield kept.astype(np.float64) - mean

    def take(self, ids: NDArray[np.int64], mean: Matrix) -> Matrix:
        """Return rows of the source in float64, less a mean."""
        return np.asarray(self.rows.take(ids), np.float64) - mean

    def _check(self, block: NDArray[np.generic]) -> None:
        values = np.asarray(block)
        lowest, highest = values.min(), values.max()
        if not np.isfinite([lowest, highest]).all():
            where = np.argwhere(~np.isfinite(values))[0, 1]
            raise DataError(
                f"{self.name} holds NaN or infinity in column {where}; theodolite.LinearVAE fits gaps (NaN)"
            )
        if max(-float(lowest), float(highest)) > LARGEST:
            raise DataError(f"{self.name} holds a value beyond {LARGEST:g}; scale the data")


@dataclass(frozen=True)
class Summary:
    """Count, mean (d,) and covariance (d, d), divisor n, of the training rows."""

    count: int
    mean: Matrix
    covariance: Matrix

    @property
    def scale(self) -> float:
        """Root of the mean variance of the features: the unit of the data."""
        return float(np.sqrt(np.trace(self.covariance) / len(self.mean)))


def summarise(moments: Moments, name: str) -> Summary:
    """Mean and covariance of moments, which must vary."""
    found = Summary(moments.count, moments.mean, moments.covariance())
    # as good as equal: what varies is rounding, or too small to be squared
    if found.scale <= 1 / LARGEST or np.all(np.sqrt(np.diag(found.covariance)) <= ROUNDING * np.abs(found.mean)):
        raise DataError(f"the {found.count} rows of {name} to train on are all equal; there is nothing to model")
    return found


def load(config: LinearVAEConfig) -> Dataset:
    """Open the data that the settings name.

    Raises
    ------
    DataError
        If the file cannot be used, see `open_rows` and `read_table`; or has too few rows or too many columns.
    UsageError
        If `latent_dim` exceeds the number of columns, or nothing is left to train on.
    """
    rows, sha256 = _open(config.data)
    n, d = rows.shape
    if n < 2 or d > MOST_COLUMNS:
        raise DataError(
            f"{config.data} has {n} rows and {d} columns; needed are 2 rows and at most {MOST_COLUMNS} columns"
        )
    if config.latent_dim > d:
        raise UsageError(f"latent_dim={config.latent_dim} exceeds the {d} columns of {config.data}; take {d} or fewer")
    held_out = np.zeros(n, bool)
    held_out[split(n, config.held_out_share, config.split_seed)[1]] = True
    return Dataset(rows, held_out, sha256, config.data, (SIDE, SIDE) if config.data == "digits" else None)


def _open(source: str) -> tuple[Rows, str]:
    """Open an embedded name, a table, or files that are mapped."""
    if source == "digits":
        rows = open_rows(digits()[0].reshape(-1, SIDE * SIDE))
    elif not Path(source).exists():
        raise DataError(f"no file at {source}; give digits, a .csv or .npy file, or a folder of .npy files")
    elif Path(source).suffix.lower() == ".csv":
        table = read_table(Path(source))
        return open_rows(table.values), table.sha256
    else:
        rows = open_rows(Path(source))
    return rows, rows.fingerprint()
