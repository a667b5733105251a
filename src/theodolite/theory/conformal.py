"""Conformal prediction: thresholds whose rate of false alarms holds whatever the scores are."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def conformal_threshold(scores: ArrayLike, rate: float) -> float:
    """Score that a new one exceeds with a probability of at most `rate` (the unit of the scores); an upper bound.

    Infinite where there are too few scores for the rate, fewer than `fewest_scores`.

    Holds when: the n scores and the new one are exchangeable; the probability is over all of them. Ties only lower it.
    Source: Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random world", section 2.2; the split form is
    Lei et al. 2018, section 2.2: the ⌈(n + 1)(1 − α)⌉-th smallest score.
    """
    s = np.sort(np.asarray(scores, dtype=float).ravel())
    k = _rank(s.size, rate)
    return float(s[k - 1]) if k <= s.size else math.inf


def fewest_scores(rate: float) -> int:
    """Scores that a rate of false alarms needs at least for a finite threshold (a count).

    Holds when: 0 < rate < 1.
    Source: ⌈(n + 1)(1 − α)⌉ ≤ n where n ≥ 1/α − 1.
    """
    n = max(1, math.ceil(1.0 / rate) - 2)  # one less than the answer, but for rounding
    while _rank(n, rate) > n:
        n += 1
    return n


def conformal_p_values(scores: ArrayLike, new: ArrayLike) -> NDArray[np.float64]:
    """Probability, bounded from above, that a score drawn like the others would be as large as each new one (a share).

    Holds when: as for `conformal_threshold`. A new score exceeds the threshold of a rate just where its p-value is at
    most that rate.
    Source: Vovk, Gammerman & Shafer 2005, equation 2.18: (1 + #{scores ≥ new}) / (n + 1).
    """
    s = np.sort(np.asarray(scores, dtype=float).ravel())
    as_large = s.size - np.searchsorted(s, np.asarray(new, dtype=float), side="left")
    return np.asarray((1.0 + as_large) / (s.size + 1.0))


def _rank(n: int, rate: float) -> int:
    # less a hair, so that (n + 1)(1 − α) that is whole in decimals is not rounded up
    return math.ceil((n + 1) * (1.0 - rate) - 1e-9)
