"""The test of one fit as it is proved in docs/answers, Q1.c: what naming by e-values must agree with."""

import numpy as np


def benjamini_hochberg(p_values, level):
    """Which hypotheses are rejected at false discovery rate `level` (Benjamini & Hochberg 1995, eq. 1)."""
    p = np.asarray(p_values, dtype=float)
    ordered = np.sort(p)
    # R = the largest k with p_(k) ≤ level·k/n; rejected is whatever is at most p_(R)
    passing = np.flatnonzero(ordered <= level * np.arange(1, p.size + 1) / p.size)
    return np.zeros(p.shape, dtype=bool) if passing.size == 0 else p <= ordered[passing[-1]]


def named_missed(p_values, tau, level):
    """Which samples are named missed: the null "covered at more than τ" has P(p ≤ u, null) ≤ u/τ."""
    return benjamini_hochberg(np.minimum(1.0, np.asarray(p_values, dtype=float) / tau), level)
