"""How many different samples a generator makes, by how often it repeats itself."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theodolite.coverage.clouds import clouds
from theodolite.coverage.neighbours import kth_neighbours, pairs_within
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.records import Record
from theodolite.theory.birthdays import batch_for_repetition, support_size, support_size_lower

CONFIDENCE = 0.95
NEAR = 0.5  # of the usual distance between neighbours


class SupportSize(Record):
    """How many different samples there are, by the birthday paradox. An estimate; it says nothing of the train set.

    Attributes
    ----------
    within : float
        Two samples are the same if they are at most this far apart, in units of the data.
    samples, repeated_pairs : int
        How many were looked at, and how many pairs of them are the same.
    size : float
        Effective number of different samples, infinite where none is repeated. Where some are likelier than others it
        is smaller than their number.
    lower : float
        Bound on it from below, about 95%.
    batch : float
        The batch in which a sample is repeated with probability one half.
    """

    within: float
    samples: int
    repeated_pairs: int
    size: float
    lower: float
    batch: float


def support(samples: NDArray[Any], within: float) -> SupportSize:
    """Estimate the number of different samples from pairs that are the same.

    Parameters
    ----------
    samples : array (m, …)
        Independent samples of the generator.
    within : float
        Two samples are the same if their Euclidean distance is at most this: 0 asks for exact copies. What is the same
        to a person is for a person to say (Arora & Zhang look at the nearest pairs); `same_within` proposes a number.

    Raises
    ------
    UsageError
        If `within` is negative or not finite.
    DataError
        If samples are fewer than 2 or not finite.
    """
    if not 0 <= within < np.inf:
        raise UsageError(f"within={within} must be a distance: 0 or more, in units of the data")
    if len(samples) < 2:
        raise DataError(f"{len(samples)} sample came; at least 2 are needed for a pair")
    first, copies = _distinct(samples)
    points = clouds(samples[first])[0]
    repeated = pairs_within(points, (within * points.scale) ** 2, copies)
    size = support_size(repeated, len(samples))
    return SupportSize(
        within=within,
        samples=len(samples),
        repeated_pairs=repeated,
        size=size,
        lower=support_size_lower(repeated, len(samples), CONFIDENCE),
        batch=batch_for_repetition(size),
    )


def same_within(real: NDArray[Any], share: float = NEAR) -> float:
    """Distance below which two samples count as the same: a share of the median distance between real neighbours.

    Real samples of a continuous distribution in many dimensions are hardly ever so close. In few dimensions they are,
    so the estimate for real samples belongs beside that for generated ones.
    """
    if len(real) < 2:
        raise DataError(f"{len(real)} real sample came; at least 2 are needed for a distance")
    reals = clouds(real)[0]
    return share * float(np.median(np.sqrt(kth_neighbours(reals, 1)))) / reals.scale


def _distinct(samples: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return the first of each kind of identical rows, and how many there are: a generator may make one thing only."""
    found: dict[bytes, list[int]] = {}
    for place, row in enumerate(samples):
        found.setdefault(hashlib.blake2b(row.tobytes(), digest_size=16).digest(), []).append(place)
    return np.array([places[0] for places in found.values()]), np.array([len(places) for places in found.values()])
