"""Precision and recall of distributions: a certified upper curve (Sajjadi et al. 2018; Simon et al. 2019)."""

import numpy as np

from theodolite.coverage.certificates import choose_threshold
from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.result import PrecisionRecall
from theodolite.theory.coverage import clopper_pearson_upper

SLOPES = np.geomspace(0.1, 10.0, 81)
CHOSEN_FOR = (0.1, 0.3, 1.0, 3.0, 10.0)  # slopes whose best sets are tried


def upper_curve(fits: tuple[HeldOut, ...], confidence: float) -> PrecisionRecall:
    """Bound the whole curve from above.

    For every slope λ and every set A, α(λ) = ∫ min(λ·p_r, p_θ) ≤ P_θ(A) + λ·P_r(outside A). Precision is α(λ), recall
    α(λ)/λ. The best A for λ makes P_r(A) − P_θ(A)/λ largest, so thresholds are chosen as for a certificate; both
    probabilities are bounded by Clopper–Pearson, all at once by Bonferroni.
    """
    each = 1 - (1 - confidence) / (2 * len(CHOSEN_FOR) * len(fits))
    least, likely = np.minimum(1.0, SLOPES), np.minimum(1.0, SLOPES)
    for fit in fits:
        for slope in CHOSEN_FOR:
            t = choose_threshold(fit, slope)
            inside = clopper_pearson_upper((fit.fake >= t).sum(), fit.fake.size, each)
            outside = clopper_pearson_upper((fit.real < t).sum(), fit.real.size, each)
            least = np.minimum(least, inside + SLOPES * outside)
            likely = np.minimum(likely, (fit.fake >= t).mean() + SLOPES * (fit.real < t).mean())
    return PrecisionRecall(
        recall=least / SLOPES, precision=least, recall_estimate=likely / SLOPES, precision_estimate=likely
    )
