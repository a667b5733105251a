import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.theory.naming import named_missed
from tests.tolerances import assert_identity

from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.missed import conformal_e_values, name_missed, named_by_e_values
from theodolite.theory.coverage import conformal_p_values

NONE = np.zeros(2)


@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.5, 1.0]), st.sampled_from([0.1, 0.3]))
def test_alone_it_is_the_procedure_of_benjamini_and_hochberg(seed, tau, alpha):
    rng = np.random.default_rng(seed)
    fake, real = rng.normal(size=300).round(1), np.r_[rng.normal(size=60), rng.normal(4, 1, 20)].round(1)
    named, p = name_missed((HeldOut(real, fake, NONE, NONE),), (np.arange(80),), tau, alpha)
    np.testing.assert_array_equal(named, named_missed(p, tau, alpha))


def test_the_mean_of_a_null_e_value_is_at_most_one_place_by_place():
    """The whole of the proof by enumeration: x in each of the places it can have among the fakes."""
    rng = np.random.default_rng(0)
    for number in range(200):
        pool, others = np.sort(rng.normal(size=16)), rng.normal(1, 1, 9)
        if number % 2:  # ties
            pool, others = pool.round(), others.round()
        for alone in (True, False):
            e = [
                conformal_e_values(
                    conformal_p_values(np.delete(pool, place), np.append(others, pool[place])),
                    15,
                    1.0,
                    0.9,
                    alone=alone,
                )[-1]
                for place in range(16)
            ]
            assert np.mean(e) <= 1 + 1e-12


def test_e_values_are_named_as_their_definition_says():
    rng = np.random.default_rng(1)
    for _ in range(100):
        e = rng.exponential(20, 12).round(0)
        best = max((k for k in range(1, 13) if np.sort(e)[-k] >= 12 / (0.2 * k)), default=0)
        assert named_by_e_values(e, 0.2).sum() == (e >= np.sort(e)[-best]).sum() * (best > 0)


def _halves(first, second, fakes=2999):
    """Two halves of 500 with so many reals above all fakes, in the way of a score that separates them."""
    fake = np.linspace(0, 1, fakes)
    fits = tuple(HeldOut(np.r_[np.full(k, 2.0), np.full(500 - k, -1.0)], fake, NONE, NONE) for k in (first, second))
    return name_missed(fits, (np.arange(500), np.arange(500, 1000)), 0.1, 0.1)[0]


@pytest.mark.parametrize(("planted", "named"), [(15, 0), (16, 0), (27, 0), (28, 56), (34, 68)])
def test_halves_share_one_level(planted, named):
    """A set that no fake reaches can be named from R·(m + 1)·τ·α ≥ n on: 17 of each 500, more where R scatters."""
    assert _halves(planted, planted).sum() == named


def test_a_half_alone_is_named_where_it_makes_up_for_the_other():
    assert _halves(40, 0).sum() == 40
    assert _halves(25, 0).sum() == 0


def test_halves_may_be_uneven():
    """The one may name a quarter of what the other names: fits on different halves are not equally good."""
    assert _halves(150, 40).sum() == 190


def test_p_values_rank_within_a_fit():
    fake = np.arange(9.0)
    fits = (HeldOut(np.array([8.5, 3.5]), fake, NONE, NONE), HeldOut(np.array([85.0, 35.0]), 10 * fake, NONE, NONE))
    p = name_missed(fits, (np.array([0, 2]), np.array([1, 3])), 0.5, 0.5)[1]
    assert_identity(p, [0.1, 0.1, 0.6, 0.6])
    assert math.isclose(p.min(), 1 / 10)
