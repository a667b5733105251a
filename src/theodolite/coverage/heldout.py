"""Held-out scores: what every number of the audit is computed from."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from theodolite.coverage.discriminator import fit_score
from theodolite.coverage.folds import Folds
from theodolite.coverage.members import Floats, Scorer
from theodolite.theory.density_ratio import game_value_of

NORMAL_95 = 1.959963984540054  # standard errors of a 95% interval


@dataclass(frozen=True)
class HeldOut:
    """Log-odds of one fit: on reals and fakes that it never saw, and out of fold on its training samples.

    `train` holds those of the generator's train set T, where it is given; this fit did not see T either.
    """

    real: Floats
    fake: Floats
    training_real: Floats
    training_fake: Floats
    train: Floats = field(default_factory=lambda: np.zeros(0))

    def mirrored(self) -> "HeldOut":
        """Exchange the roles: what is then missed by the reals is what the generator invents."""
        return HeldOut(-self.fake, -self.real, -self.training_fake, -self.training_real)


def fit_both(
    real: NDArray[Any],
    fake: NDArray[Any],
    folds: Folds,
    scorer: Scorer | None,
    seed: int,
    train: NDArray[Any] | None = None,
) -> tuple[HeldOut, ...]:
    """Fit D̂ on one half of the reals and score the other, both ways, and T with both."""
    fits = []
    for tested, fitted in (folds.reals, folds.reals[::-1]):
        score = fit_score(real[fitted], fake[folds.training], scorer=scorer, seed=seed)
        fits.append(
            HeldOut(
                real=score.log_odds(real[tested]),
                fake=score.log_odds(fake[folds.calibration]),
                training_real=score.out_of_fold_real,
                training_fake=score.out_of_fold_fake,
                train=np.zeros(0) if train is None else score.log_odds(train),
            )
        )
    return tuple(fits)


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
    value = float(np.mean([game_value_of(expit(fit.real), expit(fit.fake)) for fit in fits]))
    on_real = np.concatenate([np.log(expit(fit.real)) for fit in fits])
    # both fits score the same fakes: their mean counts once
    on_fake = np.mean([np.log(expit(-fit.fake)) for fit in fits], axis=0)
    return value, NORMAL_95 * float(np.sqrt(on_real.var() / on_real.size + on_fake.var() / on_fake.size))
