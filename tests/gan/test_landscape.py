"""Densities over cells against integrals, and the constant of a relativistic discriminator."""

import math

import numpy as np
import pytest
from scipy.special import expit
from tests.gan.ideal import ideal
from tests.tolerances import assert_single

from theodolite.data.mixtures import line, ring8
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.landscape import even_score, survey
from theodolite.gan.plan import grid, plan
from theodolite.kernel.runs import RunFolder
from theodolite.theory import coverage, density_ratio

SAMPLING_CELLS = 0.01  # of 400,000 samples over the cells of the plane: what is there by chance


def landscape(tmp_path, **fields):
    config = GANConfig(**fields)
    run = RunFolder.create(tmp_path / "run", "gan", config, GANTraining(), plan(config))
    trained = ideal()(run)
    return survey(trained, trained.truth, offset=0.0), trained


def test_where_all_is_made_nothing_is_missed_and_the_game_is_worth_least(tmp_path):
    found, _ = landscape(tmp_path, data="line")
    assert found.missed_mass(0.1) < SAMPLING_CELLS
    assert not found.missed(0.1).any()
    assert abs(found.best_value() + math.log(4)) < SAMPLING_CELLS
    np.testing.assert_array_less(np.abs(found.said - 0.5), 1e-6)


@pytest.mark.parametrize(("data", "mode"), [("line", 2), ("ring8", 5)])
def test_a_mode_left_out_is_found_as_the_integral_says(tmp_path, data, mode):
    found, trained = landscape(tmp_path, data=data, withhold=mode)
    points, cell = grid(trained.truth)
    logs = trained.truth.log_density(points), trained.drawn.log_density(points)
    assert abs(found.missed_mass(0.1) - coverage.missed_mass(*logs, cell, 0.1)) < SAMPLING_CELLS
    assert abs(found.best_value() - density_ratio.game_value(*logs, cell)) < SAMPLING_CELLS
    inside = np.isfinite(found.best) & (found.real + found.fake > 1e-3)
    assert np.abs(found.best - found.said)[inside].max() < 0.1


def test_cells_and_their_volume_fit_together(tmp_path):
    found, trained = landscape(tmp_path, data="ring8")
    middles = np.stack(np.meshgrid(*found.middles, indexing="ij"), axis=-1).reshape(-1, 2)
    density = trained.truth.density(middles).reshape(found.real.shape)
    assert np.abs(found.real - density * found.volume).max() < 0.05 * found.real.max()


@pytest.mark.parametrize("shift", [-30.0, 0.0, 2.5])
def test_the_constant_of_a_relativistic_discriminator_is_found(shift):
    truth, drawn = ring8(), ring8().without(0)
    real, fake = truth.sample(4000, 0)[0], drawn.sample(4000, 1)[0]

    def score(x):
        return truth.log_density(x) - drawn.log_density(x)

    found = even_score(score(real) + shift, score(fake) + shift)
    # D* itself has the constant 0; what is found differs by chance only
    assert abs(found - shift) < 4 * 2 / math.sqrt(4000)
    assert_single(expit(score(real) + shift - found).mean() + expit(score(fake) + shift - found).mean(), 1.0)


def test_the_line_s_cells_reach_all_of_it():
    truth = line()
    edges = np.linspace(truth.centres.min() - 2.5, truth.centres.max() + 2.5, 201)
    assert_single(truth.cell_masses([edges]).sum(), 1.0)
