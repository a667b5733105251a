"""Mixtures: density, sampling, cells and modes against integrals, other libraries and each other."""

import numpy as np
import pytest
from scipy import integrate, stats
from tests.tolerances import assert_identity, assert_sampling

from theodolite.data.mixtures import BLOCK, MIXTURES, Mixture, line, ring8
from theodolite.kernel.errors import UsageError

NAMES = sorted(MIXTURES)


@pytest.mark.parametrize("name", NAMES)
def test_weights_sum_to_one_and_there_is_a_mode_for_each(name):
    mixture = MIXTURES[name]()
    assert_identity(mixture.weights.sum(), 1.0)
    assert mixture.centres.shape == (mixture.modes, mixture.dimensions)
    assert mixture.name == name


def test_the_density_on_the_line_integrates_to_one():
    mixture = line()
    value, _ = integrate.quad(
        lambda x: float(mixture.density(np.array([[x]]))[0]), -10, 15, points=mixture.centres[:, 0], limit=200
    )
    assert_identity(value, 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_the_density_is_that_of_scipy(name):
    mixture = MIXTURES[name]()
    x = np.random.default_rng(0).normal(size=(50, mixture.dimensions)) * 2
    covariance = mixture.spread**2 * np.eye(mixture.dimensions)
    terms = [
        weight * stats.multivariate_normal(centre, covariance).pdf(x)
        for weight, centre in zip(mixture.weights, mixture.centres, strict=True)
    ]
    assert_identity(mixture.density(x), np.sum(terms, axis=0))


def test_the_log_density_far_away_is_finite():
    assert np.isfinite(line().log_density(np.array([[1e4]]))).all()


def test_samples_of_the_line_follow_the_density():
    mixture = line()
    points, _ = mixture.sample(5000, seed=1)

    def distribution(x):
        return (mixture.weights * stats.norm.cdf((np.asarray(x)[:, None] - mixture.centres[:, 0]) / 0.5)).sum(axis=1)

    assert stats.kstest(points[:, 0], distribution).pvalue > 0.001


@pytest.mark.parametrize("name", NAMES)
def test_modes_come_as_often_as_they_are_due(name):
    mixture = MIXTURES[name]()
    _, modes = mixture.sample(20_000, seed=2)
    expected = mixture.weights * len(modes)
    assert stats.chisquare(np.bincount(modes, minlength=mixture.modes), expected).pvalue > 0.001


def test_a_sample_depends_on_seed_and_number_only():
    few, modes_few = ring8().sample(10, seed=3)
    many, modes_many = ring8().sample(BLOCK + 5, seed=3)
    np.testing.assert_array_equal(few, many[:10])
    np.testing.assert_array_equal(modes_few, modes_many[:10])
    assert not np.array_equal(few, ring8().sample(10, seed=4)[0])
    assert len(np.unique(many, axis=0)) == len(many)


@pytest.mark.parametrize("name", NAMES)
def test_cells_hold_the_share_of_samples_that_falls_in_them(name):
    mixture = MIXTURES[name]()
    low, high = mixture.centres.min() - 1, mixture.centres.max() + 1
    edges = [np.linspace(low, high, 6)] * mixture.dimensions
    masses = mixture.cell_masses(edges)
    assert masses.shape == (5,) * mixture.dimensions
    points, _ = mixture.sample(20_000, seed=5)
    for cell in np.ndindex(masses.shape):
        inside = np.ones(len(points), dtype=bool)
        for axis, place in enumerate(cell):
            inside &= (points[:, axis] >= edges[axis][place]) & (points[:, axis] < edges[axis][place + 1])
        if inside.any() and not inside.all():
            assert_sampling(inside, masses[cell])


def test_the_cells_of_a_wide_grid_hold_everything():
    assert_identity(ring8().cell_masses([np.linspace(-9, 9, 40)] * 2).sum(), 1.0)


def test_the_nearest_mode_and_its_distance():
    mixture = Mixture("two", np.array([[0.0, 0.0], [10.0, 0.0]]), np.array([0.5, 0.5]), 2.0)
    modes, distances = mixture.nearest(np.array([[0.0, 4.0], [9.0, 0.0]]))
    assert modes.tolist() == [0, 1]
    assert_identity(distances, [2.0, 0.5])


def test_a_sample_is_of_its_mode_within_three_spreads():
    mixture = Mixture("two", np.array([[0.0], [10.0]]), np.array([0.5, 0.5]), 1.0)
    mode, near = mixture.assign(np.array([[0.1], [4.0], [9.0], [12.9], [13.1]]))
    assert mode.tolist() == [0, 0, 1, 1, 1]
    assert near.tolist() == [True, False, True, True, False]


def test_a_mode_is_named_by_where_it_is():
    assert [line().describe(mode) for mode in (2, 0)] == ["at x = 8", "at x = −3"]
    assert [ring8().describe(mode) for mode in (2, 5, 6)] == ["at (0.0, 2.0)", "at (−1.4, −1.4)", "at (0.0, −2.0)"]


def test_leaving_a_mode_out_weights_the_others_up():
    rest = line().without(2)
    assert rest.modes == 2
    assert_identity(rest.weights, [5 / 9, 4 / 9])
    with pytest.raises(UsageError, match="withhold=3 names no mode of line: it has modes 0 to 2"):
        line().without(3)
