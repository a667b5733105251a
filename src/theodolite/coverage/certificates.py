"""Bounds that hold whatever D̂ is: a set is chosen on training samples and counted on others."""

import numpy as np

from theodolite.coverage.heldout import NORMAL_95, HeldOut
from theodolite.coverage.result import FromBelow
from theodolite.theory.coverage import certified_missed_mass

CANDIDATES = 200


def choose_threshold(fit: HeldOut, tau: float) -> float:
    """Choose the set A = {log-odds ≥ t} with the largest P_r(A) − P_θ(A)/τ, from training samples alone.

    It is taken less two standard errors, about what a certificate will take off.
    """
    real, fake = np.sort(fit.training_real), np.sort(fit.training_fake)
    thresholds = real[np.unique(np.linspace(0, real.size - 1, CANDIDATES).astype(int))]
    p = (real.size - np.searchsorted(real, thresholds, side="left")) / real.size
    # one fake more than there is, so that an empty set is not believed to be empty
    q = (fake.size - np.searchsorted(fake, thresholds, side="left") + 1) / (fake.size + 2)
    error = np.sqrt(p * (1 - p) / real.size + q * (1 - q) / fake.size / tau**2)
    return float(thresholds[int(np.argmax(p - q / tau - 2 * error))])


def certify(fits: tuple[HeldOut, ...], tau: float, confidence: float) -> FromBelow:
    """Missed mass at τ (with τ = 1: total variation) from below.

    Each fit certifies its own set with a part of the error probability, and the better bound is kept. The estimate is
    the mean of P̂_r(A) − P̂_θ(A)/τ: unbiased for a number that the truth exceeds.
    """
    bounds, estimates, variances = [], [], []
    for fit in fits:
        t = choose_threshold(fit, tau)
        in_real, in_fake = int((fit.real >= t).sum()), int((fit.fake >= t).sum())
        n, m = fit.real.size, fit.fake.size
        each = 1 - (1 - confidence) / len(fits)
        bounds.append(float(certified_missed_mass(in_real, n, in_fake, m, tau, each)))
        p, q = in_real / n, in_fake / m
        estimates.append(p - q / tau)
        variances.append(p * (1 - p) / n + q * (1 - q) / m / tau**2)
    lower = max(bounds)
    estimate = min(max(float(np.mean(estimates)), lower), 1.0)
    return FromBelow(
        lower=lower, estimate=estimate, uncertainty=NORMAL_95 * float(np.sqrt(np.sum(variances))) / len(fits)
    )
