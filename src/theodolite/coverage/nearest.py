"""The nearest generated sample of each other one, in blocks of bounded memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from theodolite.coverage.threads import in_threads

Floats = NDArray[np.floating[Any]]
BLOCK, HELD = 2048, 4096  # samples, and fakes that they are held against


def nearest(samples: NDArray[Any], fake: NDArray[Any]) -> NDArray[np.intp]:
    """Index of the nearest fake of each sample, Euclidean.

    Distances are compared in single precision, around a centre: of two fakes that are as near to six digits either may
    be returned. Memory-maps are read block by block.

    Parameters
    ----------
    samples, fake : array (n, …), (m, …)
    """
    rows, others = samples.reshape(len(samples), -1), fake.reshape(len(fake), -1)
    centre = np.asarray(others[:BLOCK], dtype=np.float64).mean(axis=0)
    # one unit for all, so that no square leaves single precision
    unit = float(np.abs(np.asarray(others[:BLOCK], dtype=np.float64) - centre).max()) or 1.0

    def block(of: NDArray[Any], here: slice) -> Floats:
        part = (np.asarray(of[here], dtype=np.float64) - centre) / unit
        small: Floats = np.clip(part, -1e15, 1e15, out=part).astype(np.float32)
        return small

    best = np.zeros(len(rows), dtype=np.intp)
    least = np.full(len(rows), np.inf, dtype=np.float32)
    for start in range(0, len(others), HELD):
        y = block(others, slice(start, start + HELD))
        # −2·x·y + |y|², which is |y − x|² less |x|², which all fakes share
        columns = np.column_stack([-2 * y, np.einsum("ij,ij->i", y, y)]).T

        def look(here: slice, columns: Floats = columns) -> tuple[slice, NDArray[np.intp], Floats]:
            x = block(rows, here)
            away = np.column_stack([x, np.ones(len(x), dtype=np.float32)]) @ columns
            found = away.argmin(axis=1)
            return here, found, away[np.arange(len(x)), found]

        for here, found, value in in_threads(look, (slice(i, i + BLOCK) for i in range(0, len(rows), BLOCK))):
            closer = value < least[here]
            least[here][closer], best[here][closer] = value[closer], start + found[closer]
    return best


def distances(samples: NDArray[Any], fake: NDArray[Any], to: NDArray[np.intp]) -> Floats:
    """Euclidean distance of each sample to the fake of the given index, in float64."""
    rows, others = samples.reshape(len(samples), -1), fake.reshape(len(fake), -1)
    found = np.empty(len(rows))
    for start in range(0, len(rows), BLOCK):
        here = slice(start, start + BLOCK)
        difference = np.asarray(rows[here], dtype=np.float64) - np.asarray(others[to[here]], dtype=np.float64)
        found[here] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return found
