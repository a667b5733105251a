"""The birthday paradox: how soon samples repeat, and what it says of how many different ones there are.

Letters: β = Σ p² the probability that two samples are the same; s a batch; C(s, 2) the pairs in it.
"""

import math

from scipy.optimize import brentq
from scipy.stats import chi2


def support_size(repeated_pairs: float, samples: int) -> float:
    """Number of different samples a generator makes, a count: 1/β̂ = C(m, 2)/pairs; infinite where none repeat.

    1/β̂ is the size of the support where all samples are equally likely, and smaller otherwise. β̂ has no bias.

    Holds when: the m samples are independent.
    Source: Arora & Zhang (2017), section 2; β = Σ p² is Simpson's (1949) index.

    Examples
    --------
    >>> support_size(5, 100)
    990.0
    """
    return math.inf if repeated_pairs == 0 else math.comb(samples, 2) / repeated_pairs


def support_size_lower(repeated_pairs: int, samples: int, confidence: float) -> float:
    """Lower bound on 1/β, a count: from an upper bound on the expected number of repeated pairs.

    Holds when: that number is Poisson's, which it is nearly where repetitions are rare and no sample is far likelier
    than others. An approximation, no certificate.
    Source: Garwood (1936), for the mean of Poisson's law.
    """
    return math.comb(samples, 2) / (chi2.ppf(confidence, 2 * repeated_pairs + 2) / 2)


def repetition_probability(batch: float, size: float) -> float:
    """Probability that a batch repeats a sample, for a support of `size`: 1 − exp(−C(s, 2)/size).

    Holds when: the batch is much smaller than the support (the error is of order s³/size²).
    Source: Arora & Zhang (2017), section 2; Poisson's limit.
    """
    return -math.expm1(-batch * (batch - 1) / 2 / size)


def batch_for_repetition(size: float) -> float:
    """Batch in which a sample is repeated with probability one half, a count: C(s, 2) = size · log 2.

    Holds when: as for `repetition_probability`.
    Source: Arora & Zhang (2017), section 2: size ≈ s²/(2 log 2).

    Examples
    --------
    >>> round(batch_for_repetition(365), 1)
    23.0
    """
    if math.isinf(size):
        return math.inf
    highest = 2 + 2 * math.sqrt(size)
    return float(brentq(lambda s: repetition_probability(s, size) - 0.5, 1.0, highest))
