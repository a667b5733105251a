"""T, the train set, beside held-out reals: a generator that memorises is perfect on T alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import pairwise_distances_argmin_min

from theodolite.coverage.certificates import certify
from theodolite.coverage.folds import Folds
from theodolite.coverage.heldout import NORMAL_95, fit_both
from theodolite.coverage.members import Scorer
from theodolite.coverage.result import FromAbove, TrainGap

TAG = 0x7A9


def train_gap(
    train: NDArray[Any],
    real: NDArray[Any],
    fake: NDArray[Any],
    held_out: tuple[FromAbove, FromAbove],
    *,
    tau: float,
    confidence: float,
    scorer: Scorer | None,
    seed: int,
) -> TrainGap:
    """Measure the same numbers on the train set, from as many samples as there are held-out ones.

    Parameters
    ----------
    train, real, fake : array (t, …), (n, …), (m, …)
        With t < n all of T is used.
    held_out : coverage and overlap on the held-out reals
    """
    chosen = np.random.default_rng([seed, TAG]).permutation(len(train))[: len(real)]
    train = train[np.sort(chosen)]
    fits = fit_both(train, fake, Folds.draw(len(train), len(fake), seed), scorer, seed)
    overlap, coverage = certify(fits, 1.0, confidence), certify(fits, tau, confidence)
    closer = _closer(distance_to_nearest(train, fake), distance_to_nearest(real, fake))
    return TrainGap(
        overlap_train=1 - overlap.estimate,
        overlap_held_out=held_out[1].estimate,
        coverage_train=1 - coverage.estimate,
        coverage_held_out=held_out[0].estimate,
        gap=1 - overlap.estimate - held_out[1].estimate,
        uncertainty=float(np.hypot(overlap.uncertainty, held_out[1].uncertainty)),
        closer=closer,
        # the Mann–Whitney statistic of two equal distributions: variance (t + n + 1)/(12·t·n)
        closer_uncertainty=NORMAL_95 * float(np.sqrt((len(train) + len(real) + 1) / (12 * len(train) * len(real)))),
    )


def distance_to_nearest(samples: NDArray[Any], fake: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Euclidean distance of each sample to its nearest fake, in the samples' own units."""
    rows, others = (np.asarray(x, dtype=np.float64).reshape(len(x), -1) for x in (samples, fake))
    return np.asarray(pairwise_distances_argmin_min(rows, others)[1])


def _closer(train: NDArray[np.floating[Any]], held_out: NDArray[np.floating[Any]]) -> float:
    """P(a distance of `train` is below one of `held_out`), ties counted half."""
    ranks = rankdata(np.concatenate([train, held_out]))
    above = ranks[: train.size].sum() - train.size * (train.size + 1) / 2
    return float(1 - above / (train.size * held_out.size))
