"""The data of a run: read, split, and its mean subtracted."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from theodolite.data.digits import SIDE, digits, split
from theodolite.data.tables import Table, read_table
from theodolite.kernel.errors import DataError, UsageError
from theodolite.linear_vae.config import LinearVAEConfig

MOST_COLUMNS = 8192  # the audit factorises a covariance of this many rows: 0.5 GiB

LARGEST = 1e100  # beyond it, and below its inverse, a variance leaves the range of float64
ROUNDING = 1e-15


@dataclass(frozen=True)
class Dataset:
    """Samples less the mean of those that are trained on.

    Attributes
    ----------
    train : (n, d) float64
        What is trained on; its mean is zero.
    held_out : (m, d) float64
        What training never sees.
    mean : (d,) float64
        What was subtracted, from both.
    held_out_ids : (m,) int64
        Rows of the source that are held out.
    sha256 : str
        Hash of the source.
    image_shape : (int, int) or None
        Rows and columns, where a sample is a grey image.
    """

    train: NDArray[np.float64]
    held_out: NDArray[np.float64]
    mean: NDArray[np.float64]
    held_out_ids: NDArray[np.int64]
    sha256: str
    image_shape: tuple[int, int] | None

    @property
    def scale(self) -> float:
        """Root of the mean variance of the features: the unit of the data."""
        return float(np.sqrt(np.mean(self.train**2)))


def load(config: LinearVAEConfig) -> Dataset:
    """Read the data that the settings name.

    Raises
    ------
    DataError
        If the file cannot be used: see `read_table`; or if it has too few rows, too many columns, or does not vary.
    UsageError
        If `latent_dim` exceeds the number of columns, or nothing is left to train on.
    """
    table = _embedded_digits() if config.data == "digits" else read_table(Path(config.data))
    n, d = table.values.shape
    if n < 2 or d > MOST_COLUMNS:
        raise DataError(
            f"{config.data} has {n} rows and {d} columns; needed are 2 rows and at most {MOST_COLUMNS} columns"
        )
    if config.latent_dim > d:
        raise UsageError(f"latent_dim={config.latent_dim} exceeds the {d} columns of {config.data}; take {d} or fewer")
    train_ids, held_out_ids = split(n, config.held_out_share, config.split_seed)
    train = table.values[train_ids]
    largest = np.abs(table.values).max()
    if largest > LARGEST:
        raise DataError(f"{config.data} holds a value of size {largest:.1g}; scale the data to at most {LARGEST:g}")
    mean = train.mean(axis=0)
    data = Dataset(
        train=train - mean,
        held_out=table.values[held_out_ids] - mean,
        mean=mean,
        held_out_ids=held_out_ids,
        sha256=table.sha256,
        image_shape=(SIDE, SIDE) if config.data == "digits" else None,
    )
    # as good as equal: what varies is rounding, or too small to be squared
    if data.scale <= max(ROUNDING * np.abs(mean).max(), 1 / LARGEST):
        raise DataError(f"the {len(train)} rows of {config.data} to train on are all equal; there is nothing to model")
    return data


def _embedded_digits() -> Table:
    images, _ = digits()
    values = images.reshape(len(images), -1)
    return Table(values, hashlib.sha256(values.tobytes()).hexdigest())
