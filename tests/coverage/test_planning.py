"""Exact powers, against what the test itself does with drawn scores."""

import math

import numpy as np
import pytest
from tests.tolerances import IDENTITY, assert_identity, assert_sampling, assert_trend

from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.missed import name_missed
from theodolite.coverage.planning import (
    FAIR,
    PERFECT,
    Score,
    certificate_power,
    fakes_for_power,
    fewest_named,
    naming_power,
    smallest_certified,
    smallest_nameable,
    smallest_seen,
)
from theodolite.theory.coverage import UNEVEN, certified_missed_mass, needed_fakes

TAU, ALPHA, CONFIDENCE = 0.2, 0.2, 0.95
HALVES = (np.arange(200), np.arange(200, 400))


def drawn(rng, mass, calibrating, score):
    """Held-out scores of both halves: 1 above the threshold, and below it all reals rank under all fakes."""
    fake = np.where(rng.random(calibrating) < score.leak, 1.0, 0.0)
    halves = [np.where(rng.random(200) < mass * score.found, 1.0, -1.0) for _ in range(2)]
    none = np.zeros(0)
    return tuple(HeldOut(real=half, fake=fake, training_real=none, training_fake=none) for half in halves)


@pytest.mark.parametrize(
    ("mass", "score"), [(0.05, PERFECT), (0.08, PERFECT), (0.15, Score(0.7, 0.002)), (0.25, Score(0.7, 0.002))]
)
def test_naming_power_is_what_the_test_does(mass, score):
    rng = np.random.default_rng([int(1000 * mass), int(score.found * 10)])
    shares = []
    for _ in range(800):
        fits = drawn(rng, mass, 700, score)
        named = name_missed(fits, HALVES, TAU, ALPHA)[0]
        shares.append((named & (np.concatenate([fit.real for fit in fits]) > 0)).sum() / (400 * mass))
    power = naming_power(mass, 400, 700, TAU, ALPHA, score)
    assert 0.02 < power < 1
    assert_sampling(shares, power)


@pytest.mark.parametrize("calibrating", [300, 700, 5000])
def test_the_smallest_share_is_where_the_test_begins_to_name(calibrating):
    k = int(fewest_named(400, calibrating, TAU, ALPHA))
    none = np.zeros(0)
    for planted, named in ((k, True), (k - 1, False)):
        half = np.where(np.arange(200) < planted, 1.0, -1.0)
        fits = (HeldOut(half, np.zeros(calibrating), none, none),) * 2
        assert name_missed(fits, HALVES, TAU, ALPHA)[0].any() == named
    assert smallest_nameable(400, calibrating, TAU, ALPHA) == k / 200


@pytest.mark.parametrize("score", [PERFECT, Score(0.7, 0.002)])
def test_certificate_power_is_what_certificates_do(score):
    rng = np.random.default_rng(5)
    bounds = []
    for _ in range(800):
        leaks = int((rng.random(700) < score.leak).sum())
        hits = (rng.random((2, 200)) < 0.06 * score.found).sum(axis=1)
        each = 1 - (1 - CONFIDENCE) / 2
        bounds.append(max(float(certified_missed_mass(k, 200, leaks, 700, TAU, each)) for k in hits))
    some, expected = certificate_power(0.06, 400, 700, TAU, CONFIDENCE, score)
    assert_sampling(np.array(bounds) > 0, some)
    assert_sampling(bounds, expected)


def test_the_smallest_mass_seen_tends_to_the_one_that_can_be_named():
    """With many reals chance vanishes: half a part is seen where its share reaches the smallest that can be named."""
    n = 400_000
    assert abs(smallest_seen(0.5, n, 5000, TAU, ALPHA) / smallest_nameable(n, 5000, TAU, ALPHA) - 1) < 0.02


def test_power_rises_with_mass_and_with_fakes():
    shares = [naming_power(mass, 1000, 4000, TAU, ALPHA, FAIR) for mass in (0.01, 0.03, 0.1, 0.3)]
    assert shares == sorted(shares)
    assert shares[-1] <= FAIR.found
    fewer, more = (naming_power(0.03, 1000, m, TAU, ALPHA) for m in (500, 5000))
    assert fewer < more


def test_fakes_for_power_are_enough_and_one_in_two_hundred_less_is_not():
    for score in (PERFECT, FAIR):
        count = fakes_for_power(0.7, 0.05, 2000, TAU, ALPHA, score)
        assert naming_power(0.05, 2000, count, TAU, ALPHA, score) >= 0.7
        assert naming_power(0.05, 2000, int(0.9 * count), TAU, ALPHA, score) < 0.7
    # where chance is small, so is the distance to the rule of thumb
    usual = needed_fakes(0.05, TAU, ALPHA, spare=1 / UNEVEN)
    assert 0.8 < fakes_for_power(0.9, 0.05, 200_000, TAU, ALPHA) / usual < 1.2


def test_what_no_number_of_fakes_can_buy_is_none():
    assert fakes_for_power(0.7, 0.001, 2000, TAU, ALPHA, FAIR) is None  # leaks more than the test allows
    assert fakes_for_power(0.9, 0.1, 2000, TAU, ALPHA, FAIR) is None  # finds 80% at best
    assert smallest_seen(0.5, 100, 10, TAU, ALPHA) == math.inf


def test_fakes_needed_are_inverse_to_the_mass():
    masses = np.array([0.01, 0.02, 0.04, 0.08])
    counts = [fakes_for_power(0.9, mass, 100_000, TAU, ALPHA) for mass in masses]
    assert_trend(masses, counts, slope=-1.0, band=0.1)


@pytest.mark.parametrize("calibrating", [400, 4000])
def test_of_a_smaller_share_nothing_is_certified(calibrating):
    least = smallest_certified(1000, calibrating, 0.1, 0.95)
    hits = round(500 * least)
    bounds = certified_missed_mass([hits - 1, hits], 500, 0, calibrating, 0.1, 0.95)
    assert bounds[0] == 0 < bounds[1]
    assert least < smallest_certified(1000, calibrating, 0.1, 0.99)
    assert smallest_certified(1000, 20, 0.1, 0.95) == math.inf


def test_limits():
    assert naming_power(0.0, 400, 700, TAU, ALPHA) <= IDENTITY
    assert_identity(naming_power(1.0, 400, 700, TAU, ALPHA), 1.0)
    assert_identity(certificate_power(0.0, 400, 700, TAU, CONFIDENCE), (0.0, 0.0))
