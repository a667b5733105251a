"""How often a given discriminator is right where it says it is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from theodolite.coverage.members import Floats, Scorer
from theodolite.coverage.result import Calibration
from theodolite.kernel.errors import DataError

BINS = 10
FEWEST = 30  # samples in a bin for its share to count
BLOCK = 4096


def calibrate(scorer: Scorer, real: NDArray[Any], fake: NDArray[Any]) -> Calibration:
    """Ask a discriminator about samples and compare.

    Scores within [0, 1] are read as probabilities, others as their log-odds.
    """
    said = [_ask(scorer, samples) for samples in (real, fake)]
    ranked = float(roc_auc_score(np.repeat([1, 0], [said[0].size, said[1].size]), np.concatenate(said)))
    if min(part.min() for part in said) < 0 or max(part.max() for part in said) > 1:
        said = [expit(part) for part in said]
    bins, true, error = reliability(said[0], said[1])
    return Calibration(said=bins, true=true, error=error, auc=ranked)


def _ask(scorer: Scorer, samples: NDArray[Any]) -> Floats:
    parts = []
    for start in range(0, len(samples), BLOCK):
        block = samples[start : start + BLOCK]
        try:
            answer = np.asarray(scorer(block), dtype=np.float64)
        except (ValueError, TypeError) as error:
            raise DataError(f"the given discriminator returned no numbers: {str(error).splitlines()[0]}") from error
        if answer.size != len(block) or not np.isfinite(answer).all():
            raise DataError(
                f"the given discriminator returned shape {answer.shape} for {len(block)} samples; it must return one "
                "finite number for each"
            )
        parts.append(answer.reshape(-1))
    return np.concatenate(parts)


def reliability(real: Floats, fake: Floats) -> tuple[Floats, Floats, float]:
    """What is said in each bin, the share that is real there at even weight, and the mean distance of the two."""
    edges = np.linspace(0, 1, BINS + 1)[1:-1]
    counts = [np.bincount(np.digitize(said, edges), minlength=BINS) for said in (real, fake)]
    kept = counts[0] + counts[1] >= min(FEWEST, (real.size + fake.size) // BINS)
    shares = [count[kept] / said.size for count, said in zip(counts, (real, fake), strict=True)]
    sums = [np.bincount(np.digitize(said, edges), said, BINS)[kept] / said.size for said in (real, fake)]
    total = shares[0] + shares[1]
    said, true = (sums[0] + sums[1]) / total, shares[0] / total
    return said, true, float(np.average(np.abs(said - true), weights=total))
