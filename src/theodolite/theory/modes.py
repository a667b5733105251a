"""How evenly a generator makes the modes of its data."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import rel_entr


def reverse_kl(shares: ArrayLike, weights: ArrayLike) -> float:
    """Divergence KL(q ‖ w) of the modes a generator makes from those of the data, in nats; infinite if it makes none.

    Holds when: `shares` are of samples told apart without error, and `weights` are all positive.
    Source: Lin et al. (2018), PacGAN, section 4, which divides by the samples of high quality as is done here.

    Parameters
    ----------
    shares : (modes,)
        Of each mode among the samples; brought to a sum of 1.
    weights : (modes,)
        Probability of each mode in the data.
    """
    made = np.asarray(shares, dtype=np.float64)
    if not made.sum():
        return math.inf
    made = made / made.sum()
    return float(np.sum(rel_entr(made, np.asarray(weights, dtype=np.float64))))


def expected_reverse_kl(modes: int, samples: float) -> float:
    """Reverse KL that a perfect generator shows in so many samples by chance, in nats.

    Holds when: every mode is expected several times among the samples.
    Source: half of a χ² variable of modes − 1 degrees of freedom (Wilks 1938), divided by the samples.
    """
    return (modes - 1) / (2 * samples)
