import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from tests.tolerances import assert_identity

from theodolite.coverage import marginals
from theodolite.coverage.marginals import Grid, Grids, Marginals


def test_log_ratios_follow_the_true_ones():
    """Two shifted columns and one that says nothing: in the bulk the sum is the log ratio of the densities, nearly."""
    rng = np.random.default_rng(0)
    shift = np.array([0.7, -0.4, 0.0])
    points = rng.normal(size=(40_000, 3)) + np.r_[np.tile(shift, (20_000, 1)), np.zeros((20_000, 3))]
    x = rng.uniform(-1.5, 1.5, size=(2000, 3))
    truth = (norm.logpdf(x, shift) - norm.logpdf(x)).sum(axis=1)
    error = Marginals(points, np.arange(40_000) < 20_000)(x)[:, 0] - truth
    # three columns, two counts each, of about so many samples in a bin
    assert error.std() < 1.5 * np.sqrt(3 * 2 / (20_000 / marginals.MOST_CUTS))


def test_sum_largest_and_smallest_are_those_of_the_columns_alone():
    rng = np.random.default_rng(1)
    points, is_real = rng.normal(size=(200, 4)), np.arange(200) < 90
    x = rng.normal(size=(50, 4))
    alone = np.stack([Marginals(points[:, [c]], is_real)(x[:, [c]])[:, 0] for c in range(4)])
    together = Marginals(points, is_real)(x)
    assert_identity(together[:, 0], alone.sum(axis=0))
    # no column is worse than one that says nothing
    assert_identity(together[:, 1], np.maximum(alone.max(axis=0), 0))
    assert_identity(together[:, 2], np.minimum(alone.min(axis=0), 0))


def test_what_is_beyond_the_edge_of_the_fakes_stands_out_and_what_is_beyond_both_says_nothing():
    rng = np.random.default_rng(2)
    real, fake = rng.uniform(0, 1.2, (600, 1)), rng.uniform(0, 1, (600, 1))
    model = Marginals(np.concatenate([real, fake]), np.arange(1200) < 600)
    said = model(np.array([[1.1], [0.5], [5.0], [-5.0]]))[:, 0]
    assert said[0] > 3
    assert abs(said[1]) < 1
    np.testing.assert_array_equal(said[2:], 0)


def test_cubes_that_overlap_in_part_are_told_apart_in_many_columns():
    """Each column shares .975 of its length, all 64 together a fifth."""
    rng = np.random.default_rng(3)

    def draw(count):
        return np.concatenate([rng.uniform(size=(count, 64)), 0.025 + rng.uniform(size=(count, 64))])

    model = Marginals(draw(700), np.arange(1400) < 700)
    assert roc_auc_score(np.arange(4000) < 2000, model(draw(2000))[:, 0]) > 0.85


@pytest.mark.parametrize("points", [np.zeros((6, 2)), np.array([[0.0], [1.0]])])
def test_constant_columns_and_two_samples_are_fine(points):
    assert np.isfinite(Marginals(points, np.arange(len(points)) % 2 == 0)(points + 0.5)).all()


@pytest.mark.parametrize("step", [1.0, 0.25, 1 / 255, 1e-3, 7.0])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_a_grid_is_found_whatever_its_step(step, kind):
    rng = np.random.default_rng(4)
    values = (3 + step * rng.integers(0, 256, 900)).astype(kind).astype(float)
    grid = Grid.of(values)
    assert grid is not None
    # single precision keeps seven digits of 3
    np.testing.assert_allclose(grid.step, step, rtol=1e-4)
    assert not grid.left_by(values).any()
    assert grid.left_by(values + 0.3 * step).all()


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_the_precision_of_numbers_is_no_grid(kind):
    rng = np.random.default_rng(5)
    for values in (rng.uniform(size=20_000), rng.normal(size=20_000)):
        assert Grid.of(values.astype(kind).astype(float)) is None
    # random numbers of torch in [0, 1) are multiples of 2⁻²⁴
    assert Grid.of(rng.integers(0, 2**24, 20_000) / 2.0**24) is None


@pytest.mark.parametrize("values", [np.zeros(5), np.array([]), np.arange(marginals.MOST_STEPS + 2.0)])
def test_a_constant_nothing_and_too_many_steps_are_no_grid(values):
    assert Grid.of(values) is None


def test_rounding_on_one_side_is_seen_and_on_both_not():
    rng = np.random.default_rng(6)
    exact = 1000 * rng.normal(size=(400, 2))
    rounded = np.round(1000 * rng.normal(size=(400, 2)))
    is_real = np.arange(800) < 400
    new_exact, new_rounded = 1000 * rng.normal(size=(400, 2)), np.round(1000 * rng.normal(size=(400, 2)))
    for first, second, of_exact, of_rounded in ((exact, rounded, 1, 0), (rounded, exact, -1, 0)):
        model = Grids(np.concatenate([first, second]), is_real)
        assert (model(new_exact) == of_exact).all()
        assert (model(new_rounded) == of_rounded).all()
    assert not Grids(np.concatenate([rounded, new_rounded]), is_real)(new_exact).any()
    assert not Grids(np.concatenate([exact, new_exact]), is_real)(new_rounded).any()


def test_of_a_grid_within_a_grid_only_the_coarse_one_is_kept():
    rng = np.random.default_rng(7)
    coarse, fine = 2.0 * rng.integers(0, 50, (300, 1)), 1.0 * rng.integers(0, 100, (300, 1))
    model = Grids(np.concatenate([coarse, fine]), np.arange(600) < 300)
    np.testing.assert_array_equal(model(np.array([[4.0], [5.0]])), [0, -1])
