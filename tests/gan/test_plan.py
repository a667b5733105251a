"""The plan of a GAN against built networks, simulation and what withholding means."""

import math

import numpy as np
import pytest
import torch
from tests.tolerances import assert_identity, assert_sampling, assert_single
from torch import nn

from theodolite.engine.counting import multiplications_of_a_step
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import load
from theodolite.gan.model import build_discriminator, build_generator
from theodolite.gan.noise import Waves
from theodolite.gan.plan import grid, plan
from theodolite.gan.train import Game
from theodolite.kernel.errors import UsageError


def predicted(**fields):
    return {prediction.name: prediction for prediction in plan(GANConfig(**fields)).predictions}


@pytest.mark.parametrize(
    "fields",
    [
        {"data": "line"},
        {"data": "ring8", "objective": "minimax"},
        {"data": "digits", "width": 40, "depth": 3},
        {"depth": 0},
    ],
)
def test_counts_are_those_of_the_built_networks(fields):
    config = GANConfig(**fields)
    units = load(config).units
    told = predicted(**fields)
    operations = 0

    def count(layer, inputs, output):
        nonlocal operations
        operations += inputs[0].shape[1] * output.shape[1]

    networks = {"generator": build_generator(config, units), "discriminator": build_discriminator(config, units)}
    for name, network in networks.items():
        size = sum(weight.numel() for weight in network.parameters())
        assert told[f"{name}_parameters"].value == size
        for layer in network.modules():
            if isinstance(layer, (nn.Linear, Waves)):
                layer.register_forward_hook(count)
    networks["discriminator"](networks["generator"](torch.randn(1, config.latent_dim)))
    assert told["operations"].value == operations


@pytest.mark.parametrize(
    "fields",
    [
        {"data": "digits"},
        {"data": "digits", "objective": "non-saturating", "depth": 0},
        {"data": "digits", "penalise_every": 3, "network": "convolutional", "width": 3},
        {"data": "ring8", "width": 20},
        {"data": "line", "width": 20, "penalise_every": 2, "depth": 2},
    ],
)
def test_a_training_step_costs_what_is_counted_on_it(fields):
    config = GANConfig(**fields)
    game = Game(config, GANTraining(), load(config))
    measured = multiplications_of_a_step(game, steps=game.penalise_every or 1)
    assert predicted(**fields)["step_operations"].value == pytest.approx(measured, rel=1e-12)


def test_convolutional_networks_are_refused_where_samples_are_no_images():
    with pytest.raises(UsageError, match="needs images of 8 to 128 pixels a side"):
        plan(GANConfig(data="ring8", network="convolutional"))


def test_the_game_is_worth_at_least_minus_log_four():
    assert_identity(predicted()["game_value"].value, -math.log(4))
    assert predicted()["game_value"].claim == "lower bound"


@pytest.mark.parametrize(("data", "mode"), [("line", 2), ("ring8", 0), ("grid25", 24)])
def test_what_is_missed_without_a_mode_is_the_mean_over_samples(data, mode):
    told = predicted(data=data, withhold=mode)
    truth = load(GANConfig(data=data)).truth
    points, _ = truth.sample(20_000, seed=9)
    ratio = np.exp(truth.without(mode).log_density(points) - truth.log_density(points))
    assert_sampling(ratio <= 0.1, told["missed_mass"].value)
    assert_sampling(np.minimum(ratio, 1), told["overlap"].value)


def test_the_grid_of_an_integral_holds_all_of_a_mixture():
    for data in ("line", "ring8", "grid25"):
        truth = load(GANConfig(data=data)).truth
        points, cell = grid(truth)
        assert_single(truth.density(points).sum() * cell, 1.0)


def test_the_stable_game_promises_its_optimum_and_the_bare_one_does_not():
    stable, bare = predicted(data="ring8"), predicted(data="ring8", objective="minimax")
    assert stable["modes"].value == 8
    assert_identity(stable["high_quality"].value, 1 - math.exp(-4.5))  # a Rayleigh variable within 3
    assert set(stable) - set(bare) == {"modes", "high_quality", "reverse_kl", "draws"}
    assert predicted(data="ring8", withhold=3)["modes"].value == 7


def test_samples_until_every_mode_was_met():
    shown = load(GANConfig(data="line")).shown
    random = np.random.default_rng(0)
    lengths = []
    while len(lengths) < 2000:
        met, draws = set(), 0
        while len(met) < 3:
            draws += 1
            if random.random() < 0.9973:
                met.add(int(random.choice(3, p=shown.weights)))
        lengths.append(draws)
    assert_sampling(lengths, predicted(data="line")["draws"].value)


def test_a_withheld_digit_is_the_share_of_the_held_out_ones():
    labels = load(GANConfig(data="digits")).held_out_labels
    told = predicted(data="digits", withhold=4)
    assert told["missed_mass"].value == np.count_nonzero(labels == 4) / len(labels)
    assert told["missed_mass"].claim == "lower bound"
    assert told["overlap"].claim == "upper bound"
    assert "missed_mass" not in predicted(data="digits")


def test_only_what_exists_can_be_withheld():
    with pytest.raises(UsageError, match="withhold=8 names no mode of ring8: it has modes 0 to 7"):
        plan(GANConfig(data="ring8", withhold=8))


def test_copying_is_asked_about_only_where_train_and_held_out_are_alike():
    assert "closer" in predicted(data="digits")
    assert "closer" not in predicted(data="digits", withhold=1)
    assert "closer" not in predicted(data="line")


def test_what_is_withheld_costs_its_share_of_reverse_kl():
    # all weight of the others, each up by 1/(1 − w): KL = −log(1 − w)
    assert_identity(predicted(data="line", withhold=1)["reverse_kl"].value, -math.log(0.6))
    assert predicted(data="ring8")["reverse_kl"].value == pytest.approx(0, abs=1e-15)


def test_a_thousand_modes_take_a_thousand_times_the_harmonic_number():
    told = predicted(data="stacked-digits", reals=2000)
    assert_identity(told["draws"].value, 1000 * sum(1 / k for k in range(1, 1001)))
    assert told["draws"].claim == "lower bound"
    assert told["modes"].value == 1000
    assert 0.97 < told["high_quality"].value <= 1
