"""The audit audits itself: what its plan promised, measured with the very scores it used."""

import dataclasses
import math

import numpy as np

from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.missed import name_missed
from theodolite.theory.coverage import clopper_pearson_upper
from theodolite.theory.gaussian import NORMAL_95

TAG = 0x5EC
REPEATS = 400


def smallest_named_share(fits: tuple[HeldOut, ...], tau: float, alpha: float, seed: int) -> float:
    """Smallest share of planted samples, each beyond all fakes, that the test names entirely; infinite if none is.

    As many scores as there are tested reals are drawn from the fakes; in each half so many are replaced by a score that
    no fake reaches, more and more until the test names them.
    """
    rng = np.random.default_rng([seed, TAG, 0])
    fewest = min(fit.real.size for fit in fits)
    posing = [rng.choice(fit.fake, size=fewest) for fit in fits]
    halves = tuple(np.arange(fewest) + place * fewest for place in range(len(fits)))

    def named(planted: int) -> bool:
        scores = [np.where(np.arange(fewest) < planted, math.inf, drawn) for drawn in posing]
        posed = tuple(dataclasses.replace(fit, real=drawn) for fit, drawn in zip(fits, scores, strict=True))
        found = name_missed(posed, halves, tau, alpha)[0]
        return bool(found.reshape(len(fits), fewest)[:, :planted].all())

    if not named(fewest):
        return math.inf
    low, high = 0, fewest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if named(middle) else (middle, high)
    return high / fewest


def false_naming(fits: tuple[HeldOut, ...], tau: float, alpha: float, seed: int) -> tuple[float, float]:
    """How often the test names anything when fakes pose as reals, and the half-width of its 95% interval.

    The calibrating fakes are split at random again and again: two parts pose as the halves, the rest calibrates.
    """
    rng = np.random.default_rng([seed, TAG, 1])
    fakes = fits[0].fake.size
    each = min(min(fit.real.size for fit in fits), fakes // (2 * len(fits)))
    halves = tuple(np.arange(each) + place * each for place in range(len(fits)))
    alarms = 0
    for _ in range(REPEATS):
        order = rng.permutation(fakes)
        posed = tuple(
            dataclasses.replace(fit, real=fit.fake[order[half]], fake=fit.fake[order[len(fits) * each :]])
            for fit, half in zip(fits, halves, strict=True)
        )
        alarms += bool(name_missed(posed, halves, tau, alpha)[0].any())
    rate = alarms / REPEATS
    above = float(clopper_pearson_upper(alarms, REPEATS, 0.975)) - rate
    return rate, max(above, NORMAL_95 * math.sqrt(rate * (1 - rate) / REPEATS))
