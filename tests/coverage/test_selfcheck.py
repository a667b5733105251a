"""The audit of the audit: it measures what the plan states, and notices a test that is wrong."""

import math

import numpy as np

from theodolite.coverage import selfcheck
from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.planning import smallest_nameable
from theodolite.coverage.selfcheck import false_naming, smallest_named_share

TAU, ALPHA = 0.1, 0.2


def fits_of(seed, reals, fakes):
    rng = np.random.default_rng(seed)
    return tuple(HeldOut(*(rng.normal(size=n) for n in (reals, fakes, 5, 5))) for _ in range(2))


def test_the_resolution_is_the_one_that_theory_states():
    for fakes in (2999, 20_000):
        found = smallest_named_share(fits_of(5, 400, fakes), TAU, ALPHA, 0)
        assert abs(found - smallest_nameable(800, fakes, TAU, ALPHA)) <= 2 / 400
    few = smallest_named_share(fits_of(5, 400, 45), TAU, ALPHA, 0)
    assert few == math.inf == smallest_nameable(800, 45, TAU, ALPHA)


def test_a_test_without_the_division_by_tau_is_caught(monkeypatch):
    fits = fits_of(6, 200, 4000)
    rate, uncertainty = false_naming(fits, TAU, 0.5, 0)
    assert rate - uncertainty <= TAU * 0.5
    right = selfcheck.name_missed
    monkeypatch.setattr(selfcheck, "name_missed", lambda fits, halves, tau, level: right(fits, halves, 1.0, level))
    rate, uncertainty = false_naming(fits, TAU, 0.5, 0)
    assert rate - uncertainty > TAU * 0.5
