"""The audit audits itself: what its plan promised, measured with the very scores it used."""

import math

import numpy as np

from theodolite.coverage.heldout import NORMAL_95, HeldOut
from theodolite.theory.coverage import clopper_pearson_upper, conformal_p_values, named_missed

TAG = 0x5EC
REPEATS = 200


def smallest_named_share(fit: HeldOut, tau: float, level: float, seed: int) -> float:
    """Smallest share of planted samples, each beyond all fakes, that the test names entirely; infinite if none is.

    As many scores as there are tested reals are drawn from the fakes; some are replaced by a score that no fake
    reaches, more and more until the test names them.
    """
    rng = np.random.default_rng([seed, TAG, 0])
    posing = rng.choice(fit.fake, size=fit.real.size)

    def named(planted: int) -> bool:
        scores = posing.copy()
        scores[:planted] = math.inf
        return bool(named_missed(conformal_p_values(fit.fake, scores), tau, level)[:planted].all())

    if not named(posing.size):
        return math.inf
    low, high = 0, posing.size
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if named(middle) else (middle, high)
    return high / posing.size


def false_naming(fits: tuple[HeldOut, ...], tau: float, level: float, seed: int) -> tuple[float, float]:
    """How often the test names anything when fakes pose as reals, and the half-width of its 95% interval.

    The calibrating fakes are split at random again and again: one part poses, the other calibrates.
    """
    rng = np.random.default_rng([seed, TAG, 1])
    alarms, trials = 0, 0
    for fit in fits:
        posing = min(fit.real.size, fit.fake.size // 2)
        for _ in range(REPEATS):
            scores = rng.permutation(fit.fake)
            p = conformal_p_values(scores[posing:], scores[:posing])
            alarms += bool(named_missed(p, tau, level).any())
            trials += 1
    rate = alarms / trials
    above = float(clopper_pearson_upper(alarms, trials, 0.975)) - rate
    return rate, max(above, NORMAL_95 * math.sqrt(rate * (1 - rate) / trials))
