"""The coupon collector: how many draws it takes to have met every mode."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import quad


def expected_draws(probabilities: ArrayLike) -> float:
    """Expected number of independent draws until every one of k outcomes was met, a count.

    Holds when: a draw gives outcome i with probability p_i; what is left to 1 gives none of them. Infinite where some
    p_i is 0.
    Source: Flajolet, Gardy & Thimonier (1992), for unequal probabilities: E T = ∫₀^∞ (1 − Π (1 − exp(−p_i t))) dt.

    Examples
    --------
    >>> round(expected_draws([1 / 2, 1 / 2]), 9)
    3.0
    """
    p = np.asarray(probabilities, dtype=float)
    if not (p > 0).all():
        return math.inf
    # in units of the rarest outcome's waiting time; 1 − Π (1 − exp(−p_i t)) ≤ Σ exp(−p_i t) is nothing at the end
    slowest = float(1 / p.min())
    end = 40 + math.log(p.size)

    def unmet(u: float) -> float:
        return float(-np.expm1(np.log1p(-np.exp(-p * slowest * u)).sum()))

    return slowest * float(quad(unmet, 0, end, epsabs=0, epsrel=1e-12, limit=400)[0])
