"""T, the train set, beside held-out reals: a generator that memorises is perfect on T and misses the rest."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.members import Floats
from theodolite.coverage.nearest import distances, nearest
from theodolite.coverage.result import TrainGap
from theodolite.theory.gaussian import NORMAL_95

TAG = 0x7A9
MOST = 5000  # of T that are looked at


def some_of(train: NDArray[Any], seed: int) -> NDArray[Any]:
    """At most `MOST` of T, at random."""
    chosen = np.random.default_rng([seed, TAG]).permutation(len(train))[:MOST]
    return train[np.sort(chosen)]


def train_gap(
    fits: tuple[HeldOut, ...],
    train: NDArray[Any],
    real: NDArray[Any],
    fake: NDArray[Any],
    closest: NDArray[np.intp],
    tau: float,
) -> TrainGap:
    """Compare what one D̂ says of T and of held-out reals.

    D̂ is fitted on held-out reals, so p̂_r is the same for both, and never on the samples it is asked about. Overlap
    is the mean of min(1, p̂_θ/p̂_r), coverage the share with p̂_θ > τ·p̂_r. As values they lean on D̂; their
    difference is 0 in expectation where the generator did not see T.

    Parameters
    ----------
    fits : tuple of HeldOut
        With log-odds of `train`.
    train, real, fake : array (t, …), (n, …), (m, …)
    closest : int array (n,)
        Nearest fake of each real.
    """
    on_train = np.mean([_overlap(fit.train) for fit in fits], axis=0)
    on_real = np.concatenate([_overlap(fit.real) for fit in fits])
    closer = _closer(distances(train, fake, nearest(train, fake)), distances(real, fake, closest))
    return TrainGap(
        overlap_train=float(on_train.mean()),
        overlap_held_out=float(on_real.mean()),
        coverage_train=float(np.mean([(fit.train < -np.log(tau)).mean() for fit in fits])),
        coverage_held_out=float(np.mean(np.concatenate([fit.real for fit in fits]) < -np.log(tau))),
        gap=float(on_train.mean() - on_real.mean()),
        uncertainty=NORMAL_95 * float(np.sqrt(on_train.var() / on_train.size + on_real.var() / on_real.size)),
        closer=closer,
        # the Mann–Whitney statistic of two equal distributions has variance (t + n + 1)/(12·t·n)
        closer_uncertainty=NORMAL_95 * float(np.sqrt((len(train) + len(real) + 1) / (12 * len(train) * len(real)))),
    )


def _overlap(log_odds: Floats) -> Floats:
    """min(1, p̂_θ/p̂_r) of each sample."""
    return np.asarray(np.exp(-np.maximum(log_odds, 0.0)))


def _closer(train: Floats, held_out: Floats) -> float:
    """P(a distance of `train` is below one of `held_out`), ties counted half."""
    ranks = rankdata(np.concatenate([train, held_out]))
    above = ranks[: train.size].sum() - train.size * (train.size + 1) / 2
    return float(1 - above / (train.size * held_out.size))
