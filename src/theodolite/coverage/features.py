"""In which space samples are compared: as they are, in standard units, by given features, or through an encoder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from theodolite.data.arrays import check_finite, load_samples
from theodolite.kernel.errors import DataError, UsageError

Samples = NDArray[Any]
Encoder = Callable[[Samples], Samples]
Given = str | Path | Sequence[Samples] | Encoder | None

ENCODER_FILES = (".pt2", ".pt", ".ts", ".jit", ".torchscript")
PACKAGES = ("timm:", "transformers:")
KNOWN = (
    "raw, standardised, REAL.npy,FAKE.npy[,TRAIN.npy], an encoder file (.pt2 or TorchScript), timm:NAME or "
    "transformers:NAME"
)
TAG = 0xFEA7
BLOCK = 1024  # samples sent through an encoder at once


class Embedded(NamedTuple):
    """All samples in the space where they are compared, and what that space is called."""

    real: Samples
    fake: Samples
    train: Samples | None
    name: str


def embed(
    features: Given, real: Samples, fake: Samples, train: Samples | None, fitting: NDArray[np.intp], seed: int
) -> Embedded:
    """Bring samples into the space of features.

    No space may be fitted on samples that are tested or that calibrate: an encoder comes from elsewhere, and standard
    units are those of the fakes that D̂ is fitted on.

    Parameters
    ----------
    features : str, path, sequence of arrays, callable or None
        None or ``"raw"``: samples as they are. ``"standardised"``: columns over their standard deviation. Arrays
        (n, d), (m, d) and, for a train set, (t, d) with the same rows as the samples, or their ``.npy`` files with
        commas between. A callable ``samples -> (samples, d)``. The file of an encoder, or the name of one in timm or
        transformers (see `theodolite.coverage.encoders`).
    real, fake, train : array
    fitting : int array
        Fakes that D̂ is fitted on.
    seed : int
        Of the order in which samples are sent through an encoder.

    Raises
    ------
    UsageError
        If `features` is none of these, or a package is missing.
    DataError
        If features have other rows than the samples, are not finite, or an encoder's file is not sound.
    """
    if features is None or (isinstance(features, str) and features in ("", "raw")):
        return Embedded(real, fake, train, "raw")
    if isinstance(features, str) and features == "standardised":
        return _standardised(real, fake, train, fitting)
    if isinstance(features, str) and features.startswith(PACKAGES):
        return _encoded(_load_encoder(features), features, real, fake, train, seed)
    if isinstance(features, str | Path):
        files = [part.strip() for part in str(features).split(",")]
        if len(files) == 1 and Path(files[0]).suffix.lower() in ENCODER_FILES:
            return _encoded(_load_encoder(files[0]), Path(files[0]).name, real, fake, train, seed)
        if len(files) not in (2, 3):
            raise UsageError(f"features={str(features)[:80]!r} is nothing that is known; give {KNOWN}")
        return _given([load_samples(file) for file in files], real, fake, train)
    if callable(features):
        return _encoded(features, getattr(features, "__name__", "given function"), real, fake, train, seed)
    return _given(list(features), real, fake, train)


def _load_encoder(name: str) -> Encoder:
    from theodolite.coverage.encoders import load_encoder  # loads torch

    return load_encoder(name)


def _standardised(real: Samples, fake: Samples, train: Samples | None, fitting: NDArray[np.intp]) -> Embedded:
    some = np.asarray(fake[fitting], dtype=np.float64)
    mean, spread = some.mean(axis=0), some.std(axis=0)
    # a column that is constant here keeps its unit, so that a sample which differs there is still seen
    spread = np.where(spread > 0, spread, 1.0)

    def scaled(samples: Samples) -> Samples:
        return np.asarray((samples - mean) / spread)

    return Embedded(scaled(real), scaled(fake), None if train is None else scaled(train), "standardised")


def _given(arrays: list[Samples], real: Samples, fake: Samples, train: Samples | None) -> Embedded:
    wanted = [("the real samples", real), ("the generated samples", fake)]
    wanted += [("the train set", train)] if train is not None else []
    if len(arrays) != len(wanted):
        raise UsageError(f"{len(arrays)} arrays of features were given for {len(wanted)} sets of samples")
    found = []
    for array, (what, samples) in zip(arrays, wanted, strict=True):
        rows = np.asarray(array)
        if len(rows) != len(samples):
            raise DataError(f"the features of {what} have {len(rows):,} rows for {len(samples):,} samples")
        check_finite(rows, f"the features of {what}")
        found.append(rows)
    return Embedded(found[0], found[1], found[2] if train is not None else None, "given features")


def _encoded(encoder: Encoder, name: str, real: Samples, fake: Samples, train: Samples | None, seed: int) -> Embedded:
    """Encode all samples in one random order.

    The last bits of an answer may depend on the place in a batch. Were the reals encoded apart, equal samples would
    not tie: rounding would tell reals from fakes.
    """
    sets = [real, fake] if train is None else [real, fake, train]
    ends = np.cumsum([len(samples) for samples in sets])
    order = np.random.default_rng([seed, TAG]).permutation(ends[-1])
    found: NDArray[Any] | None = None
    for start in range(0, order.size, BLOCK):
        places = order[start : start + BLOCK]
        answer = _answer(encoder, name, _gathered(sets, ends, places))
        if found is None:
            _check_alone(encoder, name, sets, ends, places, answer)
            found = np.empty((order.size, answer.shape[1]))
        if answer.shape[1] != found.shape[1]:
            raise DataError(f"the encoder {name} gave {found.shape[1]} features, then {answer.shape[1]}")
        found[places] = answer
    if found is None:
        raise DataError("there is nothing to encode")
    check_finite(found, f"the features that {name} gave")
    parts = np.split(found, ends[:-1])
    return Embedded(parts[0], parts[1], parts[2] if train is not None else None, name)


def _gathered(sets: list[Samples], ends: NDArray[np.intp], places: NDArray[np.intp]) -> Samples:
    """Collect the samples at these places of all sets, laid end to end."""
    whose = np.searchsorted(ends, places, side="right")
    made = np.empty((places.size, *sets[0].shape[1:]), dtype=np.result_type(*sets))
    for number, samples in enumerate(sets):
        mine = whose == number
        made[mine] = samples[places[mine] - (ends[number - 1] if number else 0)]
    return made


def _answer(encoder: Encoder, name: str, samples: Samples) -> Samples:
    answer = np.asarray(encoder(samples))
    if answer.ndim < 2 or len(answer) != len(samples) or answer.dtype.kind not in "biuf":
        raise DataError(
            f"the encoder {name} gave {answer.dtype} of shape {answer.shape} for {len(samples)} samples; it must give "
            "one row of numbers for each"
        )
    return answer.reshape(len(answer), -1)


def _check_alone(
    encoder: Encoder, name: str, sets: list[Samples], ends: NDArray[np.intp], places: NDArray[np.intp], answer: Samples
) -> None:
    """Refuse an encoder whose answer to a sample hangs on its batch, such as a normalisation in training mode."""
    again = _answer(encoder, name, _gathered(sets, ends, places[: max(1, places.size // 2)]))
    size = float(np.abs(answer).max()) or 1.0
    if np.abs(again - answer[: len(again)]).max() > 1e-2 * size:
        raise DataError(
            f"the encoder {name} answers differently to a sample in other company, or at random; export it in "
            "evaluation mode"
        )
