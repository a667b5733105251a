import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from tests.tolerances import assert_identity, assert_trend

from theodolite.coverage.calibration import calibrate, reliability
from theodolite.coverage.landscape import density, grid_axes, grid_points
from theodolite.kernel.errors import DataError


def test_a_density_tends_to_the_true_one():
    rng = np.random.default_rng(0)
    x = (np.linspace(-4, 10, 240),)
    true = 0.5 * norm.pdf(x[0]) + 0.5 * norm.pdf(x[0], 6, 0.5)
    counts = np.array([1_000, 8_000, 64_000])
    errors = []
    for count in counts:
        of_count = []
        for _ in range(10):
            samples = np.where(rng.random(count) < 0.5, rng.normal(0, 1, count), rng.normal(6, 0.5, count))
            found = density(samples[:, None], x)
            assert abs(found.sum() * (x[0][1] - x[0][0]) - 1) < 0.01
            of_count.append(np.abs(found - true).mean())
        errors.append(np.mean(of_count))
    assert_trend(counts, errors, slope=-0.4, band=0.15)


def test_the_first_axis_is_x():
    rng = np.random.default_rng(1)
    samples = rng.normal([2, -1], [1, 0.5], (20_000, 2))
    axes = (np.linspace(-3, 7, 64), np.linspace(-4, 2, 50))
    found = density(samples, axes)
    true = multivariate_normal([2, -1], [1, 0.25]).pdf(grid_points(axes)).reshape(64, 50)
    assert found.shape == (64, 50)
    assert np.abs(found - true).max() < 0.15 * true.max()
    assert_identity(grid_points(axes).reshape(64, 50, 2)[3, 7], [axes[0][3], axes[1][7]])


def test_a_grid_holds_all_reals_and_only_of_the_line_and_the_plane():
    rng = np.random.default_rng(2)
    real, fake = rng.normal(0, 1, (100, 2)), np.r_[rng.normal(0, 1, (5000, 2)), [[1e6, 0]]]
    axes = grid_axes(real, fake)
    for column, axis in zip(real.T, axes, strict=True):
        assert axis[0] < column.min()
        assert column.max() < axis[-1] < 100  # one wild fake does not make the rest a dot
    assert grid_axes(np.zeros((50, 3)), np.zeros((50, 3))) is None
    assert grid_axes(np.zeros((50, 1)), np.zeros((50, 1))) is None


def test_scores_are_read_as_probabilities_or_as_log_odds():
    rng = np.random.default_rng(3)
    real, fake = rng.normal(1, 1, (4000, 1)), rng.normal(0, 1, (4000, 1))

    def log_odds(x):
        return x[:, 0] - 0.5

    said = calibrate(log_odds, real, fake)
    assert said.error < 0.03
    assert abs(said.auc - norm.cdf(1 / np.sqrt(2))) < 0.02
    same = calibrate(lambda x: 1 / (1 + np.exp(-log_odds(x))), real, fake)
    np.testing.assert_allclose(same.said, said.said)
    sure = calibrate(lambda x: 8 * log_odds(x), real, fake)
    assert sure.error > 0.1
    assert_identity(sure.auc, said.auc)


def test_a_bin_says_the_share_that_is_real():
    said, true, error = reliability(np.full(200, 0.95), np.full(800, 0.95))
    assert_identity([said[0], true[0], error], [0.95, 0.5, 0.45])


@pytest.mark.parametrize("answer", [np.zeros(3), np.full(50, np.nan), ["a"] * 50])
def test_a_discriminator_that_answers_badly_is_told(answer):
    with pytest.raises(DataError, match="the given discriminator returned"):
        calibrate(lambda x: answer, np.zeros((50, 1)), np.zeros((50, 1)))
