"""Bounds that hold whatever D̂ is: a set is chosen on training samples and counted on others."""

import numpy as np

from theodolite.coverage.folds import Indices
from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.members import Flags
from theodolite.coverage.result import FromBelow
from theodolite.theory.coverage import certified_missed_mass
from theodolite.theory.gaussian import NORMAL_95

CANDIDATES = 200  # sets of evenly growing share, and as many that grow evenly in proportion


def choose_threshold(fit: HeldOut, tau: float) -> float:
    """Choose the set A = {log-odds ≥ t} with the largest P_r(A) − P_θ(A)/τ, from training samples alone.

    It is taken less two standard errors, about what a certificate will take off.
    """
    real, fake = np.sort(fit.training_real), np.sort(fit.training_fake)
    thresholds = real[_candidates(real.size)]
    p = (real.size - np.searchsorted(real, thresholds, side="left")) / real.size
    # one fake more than there is, so that an empty set is not believed to be empty
    q = (fake.size - np.searchsorted(fake, thresholds, side="left") + 1) / (fake.size + 2)
    error = np.sqrt(p * (1 - p) / real.size + q * (1 - q) / fake.size / tau**2)
    return float(thresholds[int(np.argmax(p - q / tau - 2 * error))])


def _candidates(count: int) -> Indices:
    """Places in ascending order from which the candidate sets go up: with even steps alone, a rare mode fits none."""
    shares = np.linspace(0, count - 1, CANDIDATES).astype(int)
    return np.union1d(shares, count - np.geomspace(1, count, CANDIDATES).astype(int))


def certify(fits: tuple[HeldOut, ...], tau: float, confidence: float) -> FromBelow:
    """Missed mass at τ (with τ = 1: total variation) from below.

    Each fit certifies its own set with a part of the error probability, and the better bound is kept. The estimate is
    the mean of P̂_r(A) − P̂_θ(A)/τ, unbiased for a number that the truth exceeds, then brought into [bound, 1].
    """
    thresholds = [choose_threshold(fit, tau) for fit in fits]
    real = [fit.real >= t for fit, t in zip(fits, thresholds, strict=True)]
    fake = [fit.fake >= t for fit, t in zip(fits, thresholds, strict=True)]
    each = 1 - (1 - confidence) / len(fits)
    lower = max(
        float(certified_missed_mass(int(r.sum()), r.size, int(f.sum()), f.size, tau, each))
        for r, f in zip(real, fake, strict=True)
    )
    estimate = float(np.mean([r.mean() - f.mean() / tau for r, f in zip(real, fake, strict=True)]))
    exchanged = fits[0].exchanged
    variance = _variance(real, shared=exchanged) + _variance(fake, shared=not exchanged) / tau**2
    return FromBelow(
        lower=lower, estimate=min(max(estimate, lower), 1.0), uncertainty=NORMAL_95 * float(np.sqrt(variance))
    )


def _variance(inside: list[Flags], shared: bool) -> float:
    """Variance of the mean over the fits of how often A was hit.

    Two hits and two misses are added (Agresti and Coull 1998), for a set that was never hit is not known to be empty.
    Where the fits count the same samples, their errors are one: they do not average out.
    """
    shares = [(hits.sum() + 2) / (hits.size + 4) for hits in inside]
    variances = [p * (1 - p) / (hits.size + 4) for p, hits in zip(shares, inside, strict=True)]
    return float(np.mean(variances)) / (1 if shared else len(inside))
