"""How much of P_r a generator misses: the quantities, their certificates, and the per-sample test.

Letters: Ω_τ = {p_θ ≤ τ·p_r}; M_τ = P_r(Ω_τ) the missed mass; C_τ = 1 − M_τ coverage; n reals, m generated samples
("fakes"); δ = 1 − confidence; α the false discovery rate.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

from theodolite.theory.density_ratio import is_missed

Floats = NDArray[np.floating[Any]]

SCATTER = 1.4  # standard deviations: √2, for both halves scatter
UNEVEN = 0.6  # of what one half names: the other then needs to name a fifth as much
ROUNDING = 1e-9


def missed_mass(log_real: ArrayLike, log_fake: ArrayLike, weights: ArrayLike, tau: float) -> float:
    """M_τ = P_r{p_θ ≤ τ·p_r}, a probability: the share of the data where the generator puts almost nothing.

    Holds when: the points carry quadrature weights (cell volumes), or 1 each for atoms.
    Source: docs/answers, Q1.d.
    """
    return float(np.sum(np.asarray(weights) * np.exp(log_real) * is_missed(log_real, log_fake, tau)))


def coverage(log_real: ArrayLike, log_fake: ArrayLike, weights: ArrayLike, tau: float) -> float:
    """C_τ = 1 − M_τ, a probability: the share of the data that the generator covers at more than τ.

    Holds when: as for `missed_mass`.
    Source: docs/answers, Q1.d.
    """
    return 1 - missed_mass(log_real, log_fake, weights, tau)


def fidelity(log_real: ArrayLike, log_fake: ArrayLike, weights: ArrayLike, tau: float) -> float:
    """F_τ = P_θ{p_r > τ·p_θ}, a probability: the share of what is generated that is not invented.

    Holds when: as for `missed_mass`, with the roles exchanged.
    Source: docs/answers, Q1.d.
    """
    return 1 - missed_mass(log_fake, log_real, weights, tau)


def overlap(log_real: ArrayLike, log_fake: ArrayLike, weights: ArrayLike) -> float:
    """∫ min(p_r, p_θ) = 1 − TV, a probability: the largest part that the two distributions share.

    Holds when: the points carry quadrature weights (cell volumes), or 1 each for atoms.
    Source: Scheffé (1947); Sajjadi et al. (2018), their α(λ) at λ = 1.
    """
    return float(np.sum(np.asarray(weights) * np.exp(np.minimum(log_real, log_fake))))


def total_variation(log_real: ArrayLike, log_fake: ArrayLike, weights: ArrayLike) -> float:
    """TV = ½ ∫ |p_r − p_θ|, a probability: the largest difference in what the two give to one set.

    Holds when: the points carry quadrature weights (cell volumes), or 1 each for atoms.
    Source: Scheffé (1947).
    """
    return float(0.5 * np.sum(np.asarray(weights) * np.abs(np.exp(log_real) - np.exp(log_fake))))


def clopper_pearson_lower(successes: ArrayLike, trials: int, confidence: float) -> Floats:
    """Lower bound on a probability, exact: it is above the truth with probability at most 1 − confidence.

    Holds when: the trials are independent and have one probability of success.
    Source: Clopper & Pearson (1934), as a quantile of a beta distribution.
    """
    k = np.asarray(successes, dtype=float)
    # the (1 − confidence) quantile of Beta(k, n − k + 1); 0 where k = 0
    bound = betaincinv(np.where(k > 0, k, 1.0), trials - k + 1, 1 - confidence)
    return np.where(k > 0, bound, 0.0)


def clopper_pearson_upper(successes: ArrayLike, trials: int, confidence: float) -> Floats:
    """Upper bound on a probability, exact: it is below the truth with probability at most 1 − confidence.

    Holds when: the trials are independent and have one probability of success.
    Source: Clopper & Pearson (1934).
    """
    return 1 - clopper_pearson_lower(trials - np.asarray(successes, dtype=float), trials, confidence)


def certified_missed_mass(
    real_hits: ArrayLike, real_count: int, fake_hits: ArrayLike, fake_count: int, tau: float, confidence: float
) -> Floats:
    """Lower bound on M_τ, a probability, from how often reals and fakes fall in a set A: M_τ ≥ P_r(A) − P_θ(A)/τ.

    With τ = 1 it bounds TV from below.

    Holds when: A was chosen without the counted samples, and these are independent. Never above the truth with
    probability ≥ confidence, whatever A is; a bad A only weakens it.
    Source: docs/answers, Q1.d: outside Ω_τ p_r < p_θ/τ; Clopper–Pearson for each probability at (1 − confidence)/2.
    """
    each = 1 - (1 - confidence) / 2
    p_real = clopper_pearson_lower(real_hits, real_count, each)
    p_fake = clopper_pearson_upper(fake_hits, fake_count, each)
    # P_r(A) − P_θ(A)/τ, and M_τ ≥ 0
    return np.maximum(p_real - p_fake / tau, 0.0)


def conformal_p_values(calibration_scores: ArrayLike, scores: ArrayLike) -> Floats:
    """Conformal p-values, probabilities: p = (1 + #{fakes scoring at least as high})/(m + 1), one for each score.

    Holds when: under the null "x ∼ P_θ" x and the calibrating fakes are exchangeable, so the score was fitted on other
    data. Then P(p ≤ u) ≤ u; ties only make p larger.
    Source: Vovk, Gammerman & Shafer (2005), chapter 2; Bates et al. (2023).
    """
    fakes = np.sort(np.asarray(calibration_scores, dtype=float))
    at_least = fakes.size - np.searchsorted(fakes, np.asarray(scores, dtype=float), side="left")
    return np.asarray((1 + at_least) / (fakes.size + 1))


def shared_count(named: ArrayLike) -> Floats:
    """How many of the reals that one half names it counts on, R̃, a count, where two halves share one level.

    R less what chance may take from the other half, 1.4·√R, and not more than 0.6·R, for the other fit may be worse; a
    half of R at least, which it can name alone.

    Holds when: any R̃ that depends on R alone keeps the test valid; a small one costs power, a large one the risk that
    neither half names anything.
    Source: docs/answers, Q1.c.
    """
    R = np.asarray(named, dtype=float)
    return np.asarray(np.maximum(R / 2, np.minimum(R - SCATTER * np.sqrt(R), UNEVEN * R)))


def fewest_counted_on(needed: ArrayLike) -> Floats:
    """Fewest R, a count, whose `shared_count` is what is needed.

    Holds when: as for `shared_count`, of which it is the inverse, rounded up.
    Source: docs/answers, Q1.c.
    """
    c = np.asarray(needed, dtype=float)
    # R − 1.4·√R = c solved for √R
    root = SCATTER / 2 + np.sqrt(SCATTER**2 / 4 + c)
    return np.asarray(np.ceil(np.minimum(2 * c, np.maximum(root**2, c / UNEVEN)) - ROUNDING))


def smallest_nameable_mass(calibration_count: int, tau: float, level: float) -> float:
    """Smallest share of the tested reals that can be named together, a probability; infinite where none can.

    The smallest p-value is 1/(m + 1); Benjamini–Hochberg accepts it when 1/((m + 1)·τ) ≤ level·share.

    Holds when: the score puts every missed real above all m calibrating fakes (the best case).
    Source: docs/answers, Q1.d.
    """
    share = 1 / ((calibration_count + 1) * tau * level)
    return share if share <= 1 else math.inf


def needed_fakes(mass: float, tau: float, level: float, spare: float = 1.5) -> int:
    """Calibrating fakes, a count, with which a missed mass can be named.

    Holds when: as for `smallest_nameable_mass`; `spare` leaves room for a score that is not perfect.
    Source: docs/answers, Q1.d.
    """
    return math.ceil(spare / (tau * level * mass))


def needed_reals(mass: float, fake_count: int, tau: float, confidence: float) -> int | None:
    """Certifying reals, a count, from which a missed mass is certified to be above 0; None where the fakes are too few.

    Holds when: A is Ω itself: it holds a share `mass` of the reals (rounded down) and none of the fakes.
    Source: docs/answers, Q1.d.
    """

    def certified(n: int) -> bool:
        return bool(certified_missed_mass(math.floor(n * mass), n, 0, fake_count, tau, confidence) > 0)

    high = math.ceil(1 / mass)
    while not certified(high):
        high *= 2
        if high > 10**9:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if certified(middle) else (middle, high)
    return high
