"""The density ratio p_θ/p_r, the optimal discriminator, and the tests both give.

Letters: p_r, p_θ densities of real and generated samples; r = p_θ/p_r; D* = p_r/(p_r + p_θ); τ the ratio below which
a point counts as missed. Densities come as logarithms, so that points far in a tail keep their ratio.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

Floats = NDArray[np.floating[Any]]


def optimal_discriminator(log_real: ArrayLike, log_fake: ArrayLike) -> Floats:
    """D*(x) = p_r/(p_r + p_θ), a probability: that x is real, at even prior odds.

    Holds when: both arguments are log densities with respect to one measure. Where both densities vanish D* is not
    defined; 1/2 is returned.
    Source: Goodfellow et al. (2014), eq. 2.

    Examples
    --------
    >>> round(float(optimal_discriminator(np.log(0.3), np.log(0.1))), 12)
    0.75
    """
    p_r, p_θ = np.asarray(log_real, dtype=float), np.asarray(log_fake, dtype=float)
    nowhere = np.isneginf(p_r) & np.isneginf(p_θ)
    # D* = 1/(1 + exp(log p_θ − log p_r))
    return np.asarray(expit(np.where(nowhere, 0.0, p_r) - np.where(nowhere, 0.0, p_θ)))


def likelihood_ratio(discriminator: ArrayLike, prior_odds: float = 1.0) -> Floats:
    """p_θ/p_r, a pure number, from the discriminator that is optimal at the given prior odds.

    Holds when: D = n·p_r/(n·p_r + m·p_θ) with ``prior_odds = n/m``; D = 0 gives infinity.
    Source: Goodfellow et al. (2014), eq. 2 solved for the ratio; the odds by Bayes' rule.
    """
    D = np.asarray(discriminator, dtype=float)
    with np.errstate(divide="ignore"):
        # r = (1 − D)/D · n/m
        return np.asarray((1 - D) / D * prior_odds)


def discriminator_of_ratio(ratio: ArrayLike, prior_odds: float = 1.0) -> Floats:
    """D = n·p_r/(n·p_r + m·p_θ), a probability, from r = p_θ/p_r: the inverse of `likelihood_ratio`.

    Holds when: r ≥ 0 and ``prior_odds = n/m > 0``.
    Source: Goodfellow et al. (2014), eq. 2, with the odds by Bayes' rule.
    """
    # D = 1/(1 + r·m/n)
    return np.asarray(1 / (1 + np.asarray(ratio, dtype=float) / prior_odds))


def at_even_odds(discriminator: ArrayLike, real_count: int, fake_count: int) -> Floats:
    """D at even prior odds, a probability, from a D fitted on n real and m generated samples.

    Holds when: D is the posterior at the odds n/m.
    Source: Bayes' rule; Elkan (2001), theorem 2.
    """
    return discriminator_of_ratio(likelihood_ratio(discriminator, real_count / fake_count))


def discriminator_threshold(tau: float) -> float:
    """Value of D* above which a point is missed, 1/(1 + τ), a probability.

    Holds when: even prior odds and τ ≥ 0; τ = 0 gives the strict region D* = 1.
    Source: p_θ ≤ τ·p_r solved for D*; docs/answers, Q1.c.
    """
    return 1 / (1 + tau)


def is_missed(log_real: ArrayLike, log_fake: ArrayLike, tau: float) -> NDArray[np.bool_]:
    """Whether x ∈ Ω_τ = {p_r > 0, p_θ ≤ τ·p_r}.

    Holds when: both arguments are log densities with respect to one measure; τ = 0 asks for p_θ = 0 itself.
    Source: docs/answers, Q1.b.
    """
    p_r, p_θ = np.asarray(log_real, dtype=float), np.asarray(log_fake, dtype=float)
    with np.errstate(divide="ignore"):
        return np.asarray((p_r > -np.inf) & (p_θ <= np.log(tau) + p_r))


def is_missed_by_discriminator(discriminator: ArrayLike, tau: float) -> NDArray[np.bool_]:
    """Whether x ∈ Ω_τ, read from D* at even odds: D* ≥ 1/(1 + τ).

    Holds when: D is D*; with any other discriminator the answer is that discriminator's opinion.
    Source: docs/answers, Q1.c.
    """
    return np.asarray(np.asarray(discriminator, dtype=float) >= discriminator_threshold(tau))


class ErrorRates(NamedTuple):
    """What the likelihood-ratio test does at one threshold.

    Attributes
    ----------
    size : float
        P_θ(reject): generated samples called real.
    power : float
        P_r(reject): real samples recognised.
    """

    size: float
    power: float


def likelihood_ratio_test(log_real: ArrayLike, log_fake: ArrayLike, weights: ArrayLike, threshold: float) -> ErrorRates:
    """Size and power, probabilities, of the test "x ∼ P_θ" against "x ∼ P_r" that rejects where p_θ/p_r ≤ threshold.

    No test of the same size has more power.

    Holds when: the points carry quadrature weights (cell volumes), or 1 each for atoms, so that Σ w·p = 1.
    Source: Neyman & Pearson (1933), section III.
    """
    w = np.asarray(weights, dtype=float)
    rejected = is_missed(log_real, log_fake, threshold)
    return ErrorRates(
        size=float(np.sum(w * np.exp(log_fake) * rejected)),
        power=float(np.sum(w * np.exp(log_real) * rejected)),
    )


def game_value(log_real: ArrayLike, log_fake: ArrayLike, weights: ArrayLike) -> float:
    """Value of the GAN game at D*, in nats: E_r log D* + E_θ log(1 − D*) = 2·JS(P_r, P_θ) − log 4.

    Between −log 4 (equal distributions) and 0 (disjoint ones).

    Holds when: the points carry quadrature weights (cell volumes), or 1 each for atoms.
    Source: Goodfellow et al. (2014), theorem 1.
    """
    p_r, p_θ = np.asarray(log_real, dtype=float), np.asarray(log_fake, dtype=float)
    both = np.logaddexp(p_r, p_θ)
    w = np.asarray(weights, dtype=float)
    value = 0.0
    for log_p in (p_r, p_θ):
        there = log_p > -np.inf
        # ∫ p · log(p/(p_r + p_θ))
        value += float(np.sum((w * np.exp(log_p))[there] * (log_p - both)[there]))
    return value


def game_value_of(discriminator_on_real: ArrayLike, discriminator_on_fake: ArrayLike) -> float:
    """Value of the GAN game for any D, in nats, from its values on samples: mean log D + mean log(1 − D).

    Holds when: the samples took no part in fitting D; then its expectation is at most the value at D*, so this is
    an estimate from below.
    Source: Goodfellow et al. (2014), eq. 1.
    """
    with np.errstate(divide="ignore"):
        on_real = np.log(np.asarray(discriminator_on_real, dtype=float))
        on_fake = np.log1p(-np.asarray(discriminator_on_fake, dtype=float))
    return float(on_real.mean() + on_fake.mean())
