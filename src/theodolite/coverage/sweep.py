"""The audit at every τ: what a slider shows."""

import numpy as np

from theodolite.coverage.certificates import certify, choose_threshold
from theodolite.coverage.folds import Indices
from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.missed import name_missed
from theodolite.coverage.result import Sweep
from theodolite.theory.coverage import clopper_pearson_lower, clopper_pearson_upper

GRID = (0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
CHOSEN_FOR = (0.01, 0.03, 0.1, 0.3, 1.0)  # values of τ whose best sets are tried, besides the one asked for


def sweep(fits: tuple[HeldOut, ...], halves: tuple[Indices, ...], tau: float, alpha: float, confidence: float) -> Sweep:
    """Count and certify at a grid of τ that holds the one asked for.

    The certified curve holds at all τ at once, so that a reader may choose τ after looking: a set A that was chosen
    without the samples which are counted obeys M_τ ≥ P_r(A) − P_θ(A)/τ at every τ with one and the same pair of
    probabilities. Both are bounded once a set, all of them together at the stated confidence (Clopper and Pearson,
    Bonferroni over sets), and at each τ the best set counts. Naming has its false discovery rate at any one τ that is
    fixed beforehand; estimates are those of `certify`.
    """
    taus = np.unique([*GRID, tau])
    chosen = sorted({*CHOSEN_FOR, tau})
    each = 1 - (1 - confidence) / (2 * len(chosen) * len(fits))
    lower = np.zeros(taus.size)
    for fit in fits:
        for target in chosen:
            t = choose_threshold(fit, target)
            p = clopper_pearson_lower((fit.real >= t).sum(), fit.real.size, each)
            q = clopper_pearson_upper((fit.fake >= t).sum(), fit.fake.size, each)
            lower = np.maximum(lower, p - q / taus)
    found = [certify(fits, float(value), confidence) for value in taus]
    return Sweep(
        tau=taus,
        named=[int(name_missed(fits, halves, float(value), alpha)[0].sum()) for value in taus],
        lower=lower,
        estimate=[mass.estimate for mass in found],
        uncertainty=[mass.uncertainty for mass in found],
    )
