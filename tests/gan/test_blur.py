"""Blurred densities against a sum over all pairs."""

import numpy as np
import pytest
from tests.tolerances import assert_single

from theodolite.gan import blur
from theodolite.gan.blur import LARGEST_LOG_ODDS, Blurred, usual_distance

RNG = np.random.default_rng(3)
REAL, FAKE = RNG.normal(0, 1, (40, 3)), RNG.normal(0.5, 1, (70, 3))


def slow(x, centres, width, without=None):
    """The log density at one point, one centre after the other."""
    terms = [np.exp(-((x - c) ** 2).sum() / (2 * width**2)) for k, c in enumerate(centres) if k != without]
    return np.log(np.sum(terms) / len(centres))


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(blur, "BLOCK", 16)


@pytest.mark.parametrize("width", [0.6, 2.0])
def test_the_log_ratio_of_new_points(width):
    points = RNG.normal(0, 1, (25, 3))
    expected = [slow(x, REAL, width) - slow(x, FAKE, width) for x in points]
    assert_single(Blurred(REAL, FAKE, width)(points), np.clip(expected, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS))


def test_a_point_of_its_own_takes_no_part_in_its_own_ratio():
    on_real, on_fake = Blurred(REAL, FAKE, 0.8).on_own()
    assert_single(on_real, [slow(x, REAL, 0.8, k) - slow(x, FAKE, 0.8) for k, x in enumerate(REAL)])
    assert_single(on_fake, [slow(x, REAL, 0.8) - slow(x, FAKE, 0.8, k) for k, x in enumerate(FAKE)])


def test_far_away_it_stays_finite():
    found = Blurred(REAL, FAKE, 0.01)(np.array([[1e6, 0, 0], [-1e6, 1.0, 0]]))
    assert (np.abs(found) <= LARGEST_LOG_ODDS).all()


def test_the_usual_distance_is_that_of_the_fifth_neighbour():
    apart = np.sqrt(((REAL[:, None] - REAL) ** 2).sum(axis=2))
    assert_single(usual_distance(REAL), np.median(np.sort(apart, axis=1)[:, 5]))
    assert usual_distance(np.zeros((9, 2))) > 0
