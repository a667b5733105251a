"""What an audit will be able to see, computed exactly before it looks.

Letters: n reals and m calibrating fakes of one half of the audit; π the missed mass; τ, α as everywhere; K reals and F
fakes that score above a threshold. A *score* is told here by two numbers: the share s of the missed reals it puts above
its threshold (1 for a perfect one), and the share q of the fakes that it puts there too (0). Within, it tells nothing
apart. Reals that are covered count as below, which errs on the side of seeing less.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from theodolite.theory.coverage import certified_missed_mass, fewest_counted_on

Floats = NDArray[np.floating[Any]]

HALVES = 2  # they are named together, and each certifies at δ/2
TAIL = 1e-12  # probability of what is left out of a sum


class Score(NamedTuple):
    """How good a score is: the share of the missed reals it finds, and the share of the fakes that pass with them."""

    found: float
    leak: float


PERFECT = Score(1.0, 0.0)
FAIR = Score(0.8, 1e-4)


def fewest_named(reals: int, calibrating: int, tau: float, alpha: float, leaks: Floats | int = 0) -> Floats:
    """Fewest reals k of one half, a count, that are named where the other half does as well; more than n where none.

    With F fakes among them the p-value is (1 + F)/(m + 1), and what `shared_count` leaves of k must reach
    c = n·(1 + F)/((m + 1)·τ·α).

    Holds when: as for `naming_power`.
    Source: docs/answers, Q1.c; `theodolite.coverage.missed`.
    """
    return fewest_counted_on(_bar(reals, calibrating, tau, alpha, leaks))


def _bar(reals: int, calibrating: int, tau: float, alpha: float, leaks: Floats | int) -> Floats:
    return np.asarray(reals // HALVES * (1.0 + leaks) / ((calibrating + 1) * tau * alpha))


def smallest_nameable(reals: int, calibrating: int, tau: float, alpha: float) -> float:
    """Smallest share of the reals that can be named together, a probability; infinite where none can.

    Holds when: the score puts every missed real above all calibrating fakes, and both halves hold equally many.
    Source: docs/answers, Q1.d.
    """
    share = float(fewest_named(reals, calibrating, tau, alpha)) / (reals // HALVES)
    return share if share <= 1 else math.inf


def smallest_certified(reals: int, calibrating: int, tau: float, confidence: float) -> float:
    """Smallest share of the reals of one half, a probability, of which any part can be certified; infinite if none can.

    Holds when: no fake falls into the set. Of k bounds that hold together each has the confidence 1 − δ/k.
    Source: docs/answers, Q1.d; Clopper & Pearson (1934).
    """
    n = reals // HALVES
    bounds = certified_missed_mass(np.arange(n + 1), n, 0, calibrating, tau, confidence)
    return float(np.argmax(bounds > 0)) / n if bounds[-1] > 0 else math.inf


def naming_power(mass: float, reals: int, calibrating: int, tau: float, alpha: float, score: Score = PERFECT) -> float:
    """Expected share of the missed reals that are named, a probability.

    Let K be the reals of a half above the threshold, K' those of the other, F ∼ Bin(m, q) the fakes. The half is named
    if K ≥ k(F) (see `fewest_named`) and either K' ≥ k(F) or K ≥ 2·c(F): alone it must do for both. Given that a certain
    missed real is above, K − 1 ∼ Bin(n − 1, s·π), and K' ∼ Bin(n, s·π); the share is s times the probability of that.

    Holds when: the score is the one of `Score`; a real that is missed is above it independently of all others.
    Source: docs/answers, Q1.d.
    """
    n = reals // HALVES
    leaks, weights = _leaks(calibrating, score.leak)
    fewest = fewest_named(reals, calibrating, tau, alpha, leaks)
    alone = np.maximum(np.ceil(2 * _bar(reals, calibrating, tau, alpha, leaks) - 1e-9), fewest)
    rate = score.found * mass
    other = binom.sf(fewest - 1, n, rate)
    named = binom.sf(fewest - 2, n - 1, rate) * other + binom.sf(alone - 2, n - 1, rate) * (1 - other)
    return float(score.found * np.sum(weights * np.where(fewest <= n, named, 0.0)))


def certificate_power(
    mass: float, reals: int, calibrating: int, tau: float, confidence: float, score: Score = PERFECT
) -> tuple[float, float]:
    """Probability that anything is certified to be missed, and the expected certificate, both pure numbers.

    Each half certifies P_r(A) − P_θ(A)/τ at δ/2 with K ∼ Bin(n, s·π), both with one F ∼ Bin(m, q); the better counts.

    Holds when: as for `naming_power`.
    Source: docs/answers, Q1.d; Clopper & Pearson (1934).
    """
    n, m = reals // HALVES, calibrating
    each = 1 - (1 - confidence) / HALVES
    leaks, weights = _leaks(m, score.leak)
    low, high = (float(binom.ppf(p, n, score.found * mass)) for p in (TAIL, 1 - TAIL))
    hits = np.arange(max(int(low), 0), int(high) + 1)
    spread = binom.pmf(hits, n, score.found * mass)
    below = np.cumsum(spread)
    some, expected = 0.0, 0.0
    for leak, weight in zip(leaks, weights, strict=True):
        bounds = certified_missed_mass(hits, n, int(leak), m, tau, each)
        # the better of two independent counts is at most k with the square of the probability of one
        best = np.diff(np.square(np.minimum(below, 1.0)), prepend=0.0)
        some += float(weight * best[bounds > 0].sum())
        expected += float(weight * (best * bounds).sum())
    return some, expected


def _leaks(calibrating: int, share: float) -> tuple[Floats, Floats]:
    """How many fakes may leak, and how probable each number is; some hundred values at most."""
    if share == 0:
        return np.zeros(1), np.ones(1)
    low, high = (float(binom.ppf(p, calibrating, share)) for p in (1e-9, 1 - 1e-9))
    values = np.unique(np.linspace(low, high, min(int(high - low) + 1, 200)).round())
    edges = np.append(np.concatenate([[-1.0], (values[1:] + values[:-1]) // 2]), calibrating)
    return values, np.diff(binom.cdf(edges, calibrating, share))


def smallest_seen(
    power: float, reals: int, calibrating: int, tau: float, alpha: float, score: Score = PERFECT
) -> float:
    """Smallest missed mass of which the test names the given share in expectation; infinite where there is none.

    Holds when: as for `naming_power`, which rises with the mass.
    Source: docs/answers, Q1.d.
    """
    low, high = 0.0, 1.0
    if naming_power(high, reals, calibrating, tau, alpha, score) < power:
        return math.inf
    for _ in range(40):
        middle = (low + high) / 2
        if naming_power(middle, reals, calibrating, tau, alpha, score) < power:
            low = middle
        else:
            high = middle
    return high


def fakes_for_power(
    power: float, mass: float, reals: int, tau: float, alpha: float, score: Score = PERFECT
) -> int | None:
    """Calibrating fakes, a count, with which the test names the given share of a missed mass; None where none do.

    Holds when: as for `naming_power`; more fakes help as long as they leak less than the test allows.
    Source: docs/answers, Q1.d.
    """
    allowed = tau * alpha * score.found * mass
    if score.leak >= allowed or power >= score.found:
        return None
    high = 64
    while naming_power(mass, reals, high, tau, alpha, score) < power:
        high *= 2
        if high > 10**9:
            return None
    low = high // 2
    while high - low > max(1, low // 200):
        middle = (low + high) // 2
        if naming_power(mass, reals, middle, tau, alpha, score) < power:
            low = middle
        else:
            high = middle
    return high
