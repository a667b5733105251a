"""What an audit from the command line reads: samples, their names, their labels, functions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theodolite.coverage.config import CoverageConfig
from theodolite.coverage.members import Scorer
from theodolite.coverage.plan import counts
from theodolite.data.arrays import check_samples, fingerprint, load_function, load_samples
from theodolite.data.images import image_files
from theodolite.kernel.errors import DataError, UsageError

Samples = NDArray[Any]
LARGEST_LABELS = 64 * 2**20  # bytes of a text file of labels


@dataclass(frozen=True)
class Sources:
    """All that is audited; `names` are the file names of the reals where they are files, else empty."""

    real: Samples
    fake: Samples
    train: Samples | None
    scorer: Scorer | None
    labels: NDArray[Any] | None
    names: tuple[str, ...]


def read_sources(config: CoverageConfig) -> Sources:
    """Read what the settings name.

    Raises
    ------
    UsageError
        If they name no samples.
    DataError
        If something cannot be read.
    """
    if not config.real or not config.fake:
        raise UsageError(
            "an audit needs samples: give --real and --fake (files, folders of images, or module:function)"
        )
    return Sources(
        real=check_samples(load_samples(config.real), f"the real samples ({config.real})"),
        fake=check_samples(_load_fake(config), f"the generated samples ({config.fake})"),
        train=check_samples(load_samples(config.train), f"the train set ({config.train})") if config.train else None,
        scorer=load_function(config.discriminator) if config.discriminator else None,
        labels=read_labels(Path(config.labels)) if config.labels else None,
        names=tuple(path.name for path in image_files(Path(config.real))) if Path(config.real).is_dir() else (),
    )


def _load_fake(config: CoverageConfig) -> Samples:
    if ":" not in config.fake:
        return load_samples(config.fake)
    count = counts(config)[1]
    given = load_function(config.fake)(count)
    try:
        drawn = np.asarray(given)
    except ValueError:
        raise DataError(f"{config.fake} gave samples of several shapes; all must have one") from None
    if not drawn.shape:
        raise DataError(f"{config.fake} gave a {type(given).__name__}; an array of {count:,} samples is needed")
    if len(drawn) != count:
        raise DataError(f"{config.fake} was asked for {count:,} samples and gave {len(drawn):,}")
    return drawn


def read_labels(path: Path) -> NDArray[Any]:
    """Read labels: a ``.npy`` file, or text with one label a line.

    Raises
    ------
    DataError
        If the file is missing, too large, no text, or no array of one dimension.
    """
    if path.suffix.lower() == ".npy":
        labels = load_samples(path)
        if labels.ndim != 1:
            raise DataError(f"{path} has shape {labels.shape}; labels are one a sample, in one dimension")
        return labels
    try:
        if path.stat().st_size > LARGEST_LABELS:
            raise DataError(f"{path} has more than {LARGEST_LABELS // 2**20} MiB; labels are short words, one a line")
        return np.array(path.read_text(encoding="utf-8-sig").splitlines())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is no text in UTF-8; labels are a .npy file, or words, one a line") from None


def origin(source: str) -> dict[str, str]:
    """Where samples came from, and their hash where they are files."""
    return {"path": source, "sha256": fingerprint(source) if source and ":" not in source else ""}
