"""Held-out scores: what every number of the audit is computed from."""

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit
from sklearn.metrics import roc_auc_score

from theodolite.coverage.discriminator import Score, fit_score
from theodolite.coverage.folds import Folds, Indices
from theodolite.coverage.members import Floats, Scorer
from theodolite.coverage.threads import in_threads
from theodolite.theory.gaussian import NORMAL_95

TAG = 0x0DDE
BLOCK = 4096  # samples scored at once


@dataclass(frozen=True)
class HeldOut:
    """Log-odds of one fit: on reals and fakes that it never saw, and out of fold on its training samples.

    `train` holds those of the generator's train set T, where it is given; this fit did not see T either. Each fit of an
    audit has reals of its own, but all score the same fakes; where the roles are exchanged, the other way round.
    """

    real: Floats
    fake: Floats
    training_real: Floats
    training_fake: Floats
    train: Floats = field(default_factory=lambda: np.zeros(0))
    exchanged: bool = False

    def mirrored(self) -> "HeldOut":
        """Exchange the roles: what is then missed by the reals is what the generator invents."""
        return HeldOut(-self.fake, -self.real, -self.training_fake, -self.training_real, exchanged=not self.exchanged)


def fit_both(
    real: NDArray[Any],
    fake: NDArray[Any],
    folds: Folds,
    scorer: Scorer | None,
    seed: int,
    train: NDArray[Any] | None = None,
) -> tuple[HeldOut, ...]:
    """Fit D̂ on one half of the reals and score the other, both ways, and T with both."""
    asked = None if scorer is None else _one_at_a_time(scorer)

    def fit(halves: tuple[Indices, Indices]) -> HeldOut:
        tested, fitted = halves
        score = fit_score(real[fitted], fake[folds.training], scorer=asked, seed=seed)
        on_real, on_fake = _score_alike(score, real, tested, fake, folds.calibration, seed)
        return HeldOut(
            real=on_real,
            fake=on_fake,
            training_real=score.out_of_fold_real,
            training_fake=score.out_of_fold_fake,
            train=np.zeros(0) if train is None else score.log_odds(train),
        )

    return tuple(in_threads(fit, (folds.reals, folds.reals[::-1])))


def _one_at_a_time(scorer: Scorer) -> Scorer:
    """What a user gave need not bear two callers at once."""
    lock = Lock()

    def ask(samples: NDArray[Any]) -> NDArray[Any]:
        with lock:
            return scorer(samples)

    return ask


def _score_alike(
    score: Score, real: NDArray[Any], tested: Indices, fake: NDArray[Any], calibrating: Indices, seed: int
) -> tuple[Floats, Floats]:
    """Score some reals and fakes together and in random order, a block at a time so that memory stays small.

    The last bits of a score depend on the place in the block. Were the reals scored apart, equal samples would not tie:
    rounding would rank them, and the ranks would no longer be exchangeable under the null.
    """
    order = np.random.default_rng([seed, TAG]).permutation(tested.size + calibrating.size)
    log_odds = np.empty(len(order))
    for start in range(0, len(order), BLOCK):
        rows = order[start : start + BLOCK]
        block = np.empty((len(rows), *real.shape[1:]), dtype=np.result_type(real, fake))
        is_real = rows < tested.size
        block[is_real] = real[tested[rows[is_real]]]
        block[~is_real] = fake[calibrating[rows[~is_real] - tested.size]]
        log_odds[rows] = score.log_odds(block)
    return log_odds[: tested.size], log_odds[tested.size :]


def auc(fits: tuple[HeldOut, ...]) -> float:
    """P(a real ranks above a fake), ranked within each fit."""
    return float(
        np.mean(
            [
                roc_auc_score(
                    np.concatenate([np.ones(fit.real.size), np.zeros(fit.fake.size)]),
                    np.concatenate([fit.real, fit.fake]),
                )
                for fit in fits
            ]
        )
    )


def game_value(fits: tuple[HeldOut, ...]) -> tuple[float, float]:
    """Held-out value of the game at D̂ and the half-width of its 95% interval, in nats."""
    # from log-odds, where a D̂ that rounds to 0 or 1 still has a logarithm
    on_real = np.concatenate([log_expit(fit.real) for fit in fits])
    # both fits score the same fakes: their mean counts once
    on_fake = np.mean([log_expit(-fit.fake) for fit in fits], axis=0)
    error = np.sqrt(on_real.var() / on_real.size + on_fake.var() / on_fake.size)
    return float(on_real.mean() + on_fake.mean()), NORMAL_95 * float(error)
