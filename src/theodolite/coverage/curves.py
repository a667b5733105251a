"""Precision and recall of distributions: a certified upper curve (Sajjadi et al. 2018; Simon et al. 2019)."""

import numpy as np

from theodolite.coverage.certificates import HeldOut
from theodolite.coverage.result import PrecisionRecall
from theodolite.theory.coverage import clopper_pearson_upper

THRESHOLDS = 16
SLOPES = np.tan(np.linspace(0.02, 0.98, 97) * np.pi / 2)


def upper_curve(fits: tuple[HeldOut, ...], confidence: float) -> PrecisionRecall:
    """Bound the whole curve from above.

    For every slope λ and every set A, α(λ) = ∫ min(λ·p_r, p_θ) ≤ P_θ(A) + λ·P_r(outside A). Precision is α(λ), recall
    α(λ)/λ. The sets are {log-odds ≥ t} for thresholds chosen on training samples; both probabilities are bounded by
    Clopper–Pearson, all at once by Bonferroni.
    """
    each = 1 - (1 - confidence) / (2 * THRESHOLDS * len(fits))
    least = np.minimum(1.0, SLOPES)
    for fit in fits:
        pooled = np.concatenate([fit.training_real, fit.training_fake])
        for t in np.quantile(pooled, np.linspace(0.01, 0.99, THRESHOLDS)):
            inside = clopper_pearson_upper((fit.fake >= t).sum(), fit.fake.size, each)
            outside = clopper_pearson_upper((fit.real < t).sum(), fit.real.size, each)
            least = np.minimum(least, inside + SLOPES * outside)
    return PrecisionRecall(recall=least / SLOPES, precision=least)
