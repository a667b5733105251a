"""Ω, sample by sample: which reals lie where the generator puts almost nothing."""

import numpy as np
from numpy.typing import NDArray

from theodolite.coverage.folds import Indices
from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.members import Floats
from theodolite.theory.coverage import conformal_p_values, named_missed


def name_missed(
    fits: tuple[HeldOut, ...], halves: tuple[Indices, ...], tau: float, alpha: float
) -> tuple[NDArray[np.bool_], Floats]:
    """Test every real, each half with the fit that did not see it.

    The false discovery rate is shared between the halves: in each it is at most α/2, and the false discovery
    proportion of the union is at most the sum of the two.

    Returns
    -------
    missed : bool array (n,)
    p_values : array (n,)
        Ranked within a fit: no score is compared with one of another fit.
    """
    count = sum(half.size for half in halves)
    missed, p_values = np.zeros(count, dtype=bool), np.ones(count)
    for fit, half in zip(fits, halves, strict=True):
        p = conformal_p_values(fit.fake, fit.real)
        p_values[half] = p
        missed[half] = named_missed(p, tau, alpha / len(fits))
    return missed, p_values
