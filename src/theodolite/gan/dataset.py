"""The real samples of a run: read or drawn, split, and the units in which networks see them."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from theodolite.data.arrays import check_samples, fingerprint, load_samples
from theodolite.data.digits import WHITE, digits, split
from theodolite.data.mixtures import MIXTURES, Mixture
from theodolite.data.stacked import STACKED_DIGITS, StackedDigits, stack
from theodolite.gan.config import GANConfig
from theodolite.gan.pyramid import LARGEST, SMALLEST, suits
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.runs import RunFolder

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
MOST_FEATURES = 4096  # of a vector: then G and D are fully connected
DARKNESS = (0.0, 1.0, 1 / WHITE)  # of a pixel of a digit: least, greatest, grain


class Counted(Protocol):
    """Data of known modes, so that what a generator makes of them can be counted."""

    @property
    def modes(self) -> int:
        """Number of modes."""
        ...

    @property
    def weights(self) -> Floats:
        """Probability of each."""
        ...

    @property
    def high_quality(self) -> str:
        """What samples do that are of high quality, after "samples"."""
        ...

    def assign(self, samples: Floats) -> tuple[Ids, NDArray[np.bool_]]:
        """Return the mode of each sample, and whether it is of high quality: surely of that mode."""
        ...

    def describe(self, mode: int) -> str:
        """Name a mode, or say where it is."""
        ...


def high_quality_shares(counted: Counted, samples: Floats) -> Floats:
    """Share of the samples that are of high quality and of each mode, (modes,)."""
    mode, sure = counted.assign(samples)
    return np.bincount(mode[sure], minlength=counted.modes) / len(samples)


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
    sha256 : str
        Hash of the source.
    counted : Counted or None
        Where the modes are known.
    truth, shown : Mixture or None
        Where the density is: the mixture itself, and what training is shown of it.
    """

    train: Floats
    held_out: Floats
    held_out_labels: Ids | None
    units: Units
    sha256: str
    counted: Counted | None = None
    truth: Mixture | None = None
    shown: Mixture | None = None

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
        return _split(config, images, labels, DARKNESS, _hash(images))
    if config.data == STACKED_DIGITS:
        return _of_stacked_digits(config)
    if config.withhold is not None:
        known = ", ".join(("digits", STACKED_DIGITS, *MIXTURES))
        raise UsageError(f"withhold={config.withhold} needs named parts, which {known} have")
    samples = check_samples(load_samples(config.data), f"the samples of {config.data}")
    if samples[0].size > MOST_FEATURES and not suits(samples.shape[1:]):
        raise DataError(
            f"a sample of {config.data} is {' × '.join(map(str, samples.shape[1:]))}; these networks take images of "
            f"{SMALLEST} to {LARGEST} pixels a side, or at most {MOST_FEATURES:,} numbers"
        )
    grid = None if samples.dtype.kind in "biu" else (0.0, 0.0, 0.0)
    return _split(config, samples.astype(np.float64), None, grid, fingerprint(config.data))


def _hash(samples: Floats) -> str:
    return hashlib.sha256(samples.tobytes()).hexdigest()


def _of_mixture(config: GANConfig, truth: Mixture) -> Dataset:
    shown = truth if config.withhold is None else truth.without(config.withhold)
    samples, modes = truth.sample(config.reals, config.split_seed)
    made = _split(config, samples, modes, (0.0, 0.0, 0.0), _hash(samples))
    return replace(made, counted=truth, truth=truth, shown=shown)


def _of_stacked_digits(config: GANConfig) -> Dataset:
    """Stack scans, those to train on and those held out each among themselves: no held-out scan is trained on."""
    images, labels = digits()
    held_out = max(1, round(config.reals * config.held_out_share))
    (train, train_modes), (held, held_modes) = (
        stack(images[ids], labels[ids], count, config.split_seed)
        for ids, count in zip(
            split(len(images), config.held_out_share, config.split_seed),
            (config.reals - held_out, held_out),
            strict=True,
        )
    )
    kept = _shown(config, train_modes, np.arange(len(train)))
    made = _dataset(config, train[kept], held, held_modes, DARKNESS, _hash(held))
    return replace(made, counted=StackedDigits())


def _split(
    config: GANConfig,
    samples: Floats,
    labels: Ids | None,
    grid: tuple[float, float, float] | None,
    sha256: str,
) -> Dataset:
    train_ids, held_out_ids = split(len(samples), config.held_out_share, config.split_seed)
    if labels is not None:
        train_ids = _shown(config, labels, train_ids)
    held_out_labels = None if labels is None else labels[held_out_ids]
    return _dataset(config, samples[train_ids], samples[held_out_ids], held_out_labels, grid, sha256)


def _shown(config: GANConfig, labels: Ids, ids: Ids) -> Ids:
    """Leave out of the ids those of the part that is withheld."""
    if config.withhold is None:
        return ids
    if config.withhold not in labels:
        raise UsageError(f"withhold={config.withhold} names no part of {config.data}: it has 0 to {labels.max()}")
    shown: Ids = ids[labels[ids] != config.withhold]
    return shown


def _dataset(
    config: GANConfig,
    train: Floats,
    held_out: Floats,
    held_out_labels: Ids | None,
    grid: tuple[float, float, float] | None,
    sha256: str,
) -> Dataset:
    """Measure the units on what is trained on; without a given grid, that of whole numbers too."""
    if not np.ptp(train, axis=0).any():
        raise DataError(
            f"the {len(train)} samples of {config.data} to train on are all equal; there is nothing to learn"
        )
    units = Units.of(train, *(grid or (float(train.min()), float(train.max()), 1.0)))
    return Dataset(train, held_out, held_out_labels, units, sha256)


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
