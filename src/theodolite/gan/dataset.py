"""The real samples of a run: read or drawn, split, and the units in which networks see them."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theodolite.data.arrays import check_samples, fingerprint, load_samples
from theodolite.data.digits import WHITE, digits, split
from theodolite.data.mixtures import MIXTURES, Mixture
from theodolite.gan.config import GANConfig
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.runs import RunFolder

Floats = NDArray[np.float64]
MOST_FEATURES = 4096  # of a sample: G and D are fully connected


@dataclass(frozen=True)
class Units:
    """How samples are written, and how networks see them: centred, with a spread of about 1.

    Attributes
    ----------
    shape : tuple of int
        Of one sample.
    centre : tuple of float
        Mean of the training samples, one a feature.
    scale : float
        Root of the mean variance of the features.
    low, high, grain : float
        Samples take the values low, low + grain, …, high; grain 0 says that they are continuous and unbounded.
    """

    shape: tuple[int, ...]
    centre: tuple[float, ...]
    scale: float
    low: float = 0.0
    high: float = 0.0
    grain: float = 0.0

    @classmethod
    def of(cls, train: NDArray[Any], low: float = 0.0, high: float = 0.0, grain: float = 0.0) -> "Units":
        """Measure centre and scale on the training samples, (n, *shape)."""
        flat = train.reshape(len(train), -1).astype(np.float64)
        scale = float(np.sqrt(flat.var(axis=0).mean()))
        return cls(train.shape[1:], tuple(map(float, flat.mean(axis=0))), scale, low, high, grain)

    def standardise(self, samples: NDArray[Any]) -> Floats:
        """Turn samples (n, *shape) into what networks see, (n, features)."""
        flat = np.asarray(samples, dtype=np.float64).reshape(len(samples), -1)
        return (flat - self.centre) / self.scale

    def write(self, standard: NDArray[Any]) -> Floats:
        """Turn what a network made, (n, features), into samples (n, *shape), rounded to the grain."""
        flat = np.asarray(standard, dtype=np.float64) * self.scale + self.centre
        if self.grain:
            steps = np.clip(np.round((flat - self.low) / self.grain), 0, round((self.high - self.low) / self.grain))
            flat = self.low + steps * self.grain
        return flat.reshape(len(flat), *self.shape)


@dataclass(frozen=True)
class Dataset:
    """Real samples in their own units.

    Attributes
    ----------
    train, held_out : (n, *shape), (m, *shape) float64
        What is trained on, without what is withheld; and what training never sees, which lacks nothing.
    held_out_labels : (m,) int64 or None
        Mode or digit of each, where known.
    units : Units
        Measured on `train`.
    truth, shown : Mixture or None
        Where the data are drawn of a mixture: the mixture itself, and what training is shown of it.
    sha256 : str
        Hash of the source.
    """

    train: Floats
    held_out: Floats
    held_out_labels: NDArray[np.int64] | None
    units: Units
    truth: Mixture | None
    shown: Mixture | None
    sha256: str

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """Shape of a sample where it is an image."""
        shape = self.units.shape
        return shape if len(shape) == 2 or (len(shape) == 3 and shape[2] == 3) else None


def load(config: GANConfig) -> Dataset:
    """Read or draw the data that the settings name.

    Raises
    ------
    DataError
        If a file cannot be used: see `load_samples`; or its samples are too large for these networks, or all equal.
    UsageError
        If `withhold` names nothing, or nothing is left to train on.
    """
    if config.data in MIXTURES:
        return _of_mixture(config, MIXTURES[config.data]())
    if config.data == "digits":
        images, labels = digits()
        return _split(config, images, labels, (0.0, 1.0, 1 / WHITE), hashlib.sha256(images.tobytes()).hexdigest())
    if config.withhold is not None:
        raise UsageError(f"withhold={config.withhold} needs named parts: digits, or a mode of {', '.join(MIXTURES)}")
    samples = check_samples(load_samples(config.data), f"the samples of {config.data}")
    if samples[0].size > MOST_FEATURES:
        raise DataError(
            f"a sample of {config.data} has {samples[0].size:,} numbers; these networks take at most {MOST_FEATURES:,}"
        )
    grid = None if samples.dtype.kind in "biu" else (0.0, 0.0, 0.0)
    return _split(config, samples.astype(np.float64), None, grid, fingerprint(config.data))


def _of_mixture(config: GANConfig, truth: Mixture) -> Dataset:
    shown = truth if config.withhold is None else truth.without(config.withhold)
    samples, modes = truth.sample(config.reals, config.split_seed)
    made = _split(config, samples, modes, (0.0, 0.0, 0.0), hashlib.sha256(samples.tobytes()).hexdigest())
    return Dataset(made.train, made.held_out, made.held_out_labels, made.units, truth, shown, made.sha256)


def _split(
    config: GANConfig,
    samples: Floats,
    labels: NDArray[np.int64] | None,
    grid: tuple[float, float, float] | None,
    sha256: str,
) -> Dataset:
    """Hold samples out; without a given grid, that of whole numbers is measured on what is trained on."""
    train_ids, held_out_ids = split(len(samples), config.held_out_share, config.split_seed)
    if labels is not None and config.withhold is not None:
        if config.withhold not in labels:
            raise UsageError(f"withhold={config.withhold} names no part of {config.data}: it has 0 to {labels.max()}")
        train_ids = train_ids[labels[train_ids] != config.withhold]
    train = samples[train_ids]
    if not np.ptp(train, axis=0).any():
        raise DataError(
            f"the {len(train)} samples of {config.data} to train on are all equal; there is nothing to learn"
        )
    return Dataset(
        train=train,
        held_out=samples[held_out_ids],
        held_out_labels=None if labels is None else labels[held_out_ids],
        units=Units.of(train, *(grid or (float(train.min()), float(train.max()), 1.0))),
        truth=None,
        shown=None,
        sha256=sha256,
    )


def record(run: RunFolder, config: GANConfig, data: Dataset) -> None:
    """Note in the run folder what the audit, and whoever draws samples, must know of the data."""
    run.write_json("data.json", {"path": config.data, "sha256": data.sha256, "units": asdict(data.units)})


def recorded_units(run: RunFolder) -> Units:
    """Read back the units that were noted.

    Raises
    ------
    DataError
        If ``data.json`` is missing or damaged.
    """
    stored = run.read_json("data.json").get("units")
    try:
        units = Units(**json.loads(json.dumps(stored)))
        return Units(
            tuple(units.shape), tuple(units.centre), *map(float, (units.scale, units.low, units.high, units.grain))
        )
    except (TypeError, ValueError):
        raise DataError(f"{run.path / 'data.json'} does not say the units of the data; train the run again") from None


def reload(run: RunFolder, config: GANConfig) -> Dataset:
    """Load the data again, and refuse others than those trained on."""
    data = load(config)
    if data.sha256 != run.read_json("data.json").get("sha256"):
        raise DataError(f"{config.data} has another SHA-256 than what {run.path} was trained on; restore the file")
    return data
