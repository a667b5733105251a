"""Ω, sample by sample: which reals lie where the generator puts almost nothing.

Each half of the reals is tested with a fit that did not see it, and both halves share one level α by conformal
e-values. With m calibrating fakes and a threshold t, at or between samples, let F(t) and R(t) be how many fakes and
tested reals score at least t, and let a real that scores at least t have

    e = τ·(m + 1)/(1 + F(t)), and any other e = 0.

*A null e-value has a mean of at most 1*, if t is the lowest threshold at which a condition on (F(t), R(t)) holds.
Null means p_r(x) < p_θ(x)/τ, so the mean of e·1{null} is at most 1/τ times that of e with x drawn by the generator
(change of measure). Then x and the m fakes are exchangeable given the other reals: each of the m + 1 places in their
order is equally likely for x. Say that in one place x scores at least t, and F fakes do too. Put x in the place of any
of these F: no count at t or below changes, so t is still the lowest threshold. Put x in a place below t, and say that
it still reaches its threshold t′ ≤ x < t: the counts at t′ are those of the first case, so t was not the lowest. Hence
x reaches its threshold in F + 1 of m + 1 places at most, and there e/τ = (m + 1)/(1 + F): its mean is at most 1. Ties
only take places away.

*The union has false discovery rate at most α*: the k largest e-values are named, k the largest number with
e_(k) ≥ n/(α·k) (Wang and Ramdas 2022). A named sample has 1/k ≤ (α/n)·e, so the share of nulls among the named is at
most (α/n)·Σ e over the nulls, of mean at most α, however the two halves depend on each other. Scores of different fits
are never compared.
"""

import numpy as np
from numpy.typing import NDArray

from theodolite.coverage.folds import Indices
from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.members import Floats
from theodolite.theory.coverage import ROUNDING, conformal_p_values, shared_count


def name_missed(
    fits: tuple[HeldOut, ...], halves: tuple[Indices, ...], tau: float, alpha: float
) -> tuple[NDArray[np.bool_], Floats]:
    """Test every real, each half with the fit that did not see it, at a false discovery rate of α in all.

    Returns
    -------
    missed : bool array (n,)
    p_values : array (n,)
        Ranked within a fit: no score is compared with one of another fit.
    """
    count = sum(half.size for half in halves)
    e_values, p_values = np.zeros(count), np.ones(count)
    for fit, half in zip(fits, halves, strict=True):
        p_values[half] = conformal_p_values(fit.fake, fit.real)
        e_values[half] = conformal_e_values(p_values[half], fit.fake.size, tau, alpha, alone=len(fits) == 1)
    return named_by_e_values(e_values, alpha), p_values


def conformal_e_values(p_values: Floats, fakes: int, tau: float, alpha: float, *, alone: bool = True) -> Floats:
    """E-values of "this real is covered at more than τ", pure numbers: τ·(m + 1)/(1 + F) above a threshold, else 0.

    The threshold is the lowest one, between samples too, at which (1 + F)/((m + 1)·τ) ≤ α·R/n; alone, that names what
    the procedure of Benjamini and Hochberg names. F counts the fakes down to the threshold, not only those down to the
    lowest real that is named: with the latter the mean would not be 1.

    Parameters
    ----------
    p_values : array (n,)
        Conformal p-values of one fit.
    fakes : int
        How many calibrated them, m.
    alone : bool
        Whether no other fit shares the level. If one does, R is what `shared_count` leaves of it: it will be held
        against the mean of both.
    """
    p = np.sort(p_values)
    named = np.arange(1, p.size + 1)
    trusted = named if alone else shared_count(named)
    # the largest 1 + F with so many named
    most = np.minimum(np.floor(alpha * trusted / p.size * tau * (fakes + 1) + ROUNDING), fakes + 1)
    passing = np.flatnonzero(p * (fakes + 1) <= most + ROUNDING)
    if passing.size == 0:
        return np.zeros(p.size)
    last = passing[-1]
    return np.where(p_values <= p[last], tau * (fakes + 1) / most[last], 0.0)


def named_by_e_values(e_values: Floats, alpha: float) -> NDArray[np.bool_]:
    """Which hypotheses are rejected at false discovery rate α, whatever the dependence (Wang and Ramdas 2022)."""
    ordered = np.sort(e_values)[::-1]
    passing = np.flatnonzero(ordered * alpha * np.arange(1, ordered.size + 1) >= ordered.size * (1 - 1e-12))
    if passing.size == 0:
        return np.zeros(e_values.shape, dtype=bool)
    return np.asarray(e_values >= ordered[passing[-1]])
