"""One step of training: values of the games, penalties on a quadratic, and the way each player goes."""

import math

import numpy as np
import pytest
import torch
from tests.tolerances import assert_single

from theodolite import families
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import load
from theodolite.gan.train import Game, gradient_penalty, minimax_value, relativistic_value

SMALL = {"reals": 400, "width": 16, "depth": 1, "latent_dim": 4, "bits": 1}


def test_the_minimax_value_of_a_known_discriminator():
    real, fake = np.array([0.9, 0.6]), np.array([0.2, 0.5, 0.1])
    expected = np.log(real).mean() + np.log(1 - fake).mean()
    scores = [torch.from_numpy(np.log(p / (1 - p))) for p in (real, fake)]
    assert_single(minimax_value(*scores), expected)


def test_a_discriminator_that_cannot_tell_is_worth_minus_log_four():
    assert_single(minimax_value(torch.zeros(3), torch.zeros(5)), -math.log(4))
    assert_single(relativistic_value(torch.full((3,), 7.0), torch.full((3,), 7.0)), -math.log(2))


def test_the_relativistic_value_does_not_change_with_a_constant():
    real, fake = torch.randn(8), torch.randn(8)
    assert_single(relativistic_value(real + 3, fake + 3), relativistic_value(real, fake))


def test_values_stay_finite_where_the_discriminator_is_sure():
    assert torch.isfinite(minimax_value(torch.tensor([1e4]), torch.tensor([-1e4])))
    assert minimax_value(torch.tensor([-1e4]), torch.tensor([0.0])) < -9999


def test_the_penalty_on_a_quadratic_is_its_gradient_squared():
    # D(x) = ½ xᵀ A x has the gradient A x
    A = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
    x = torch.randn(20, 2, requires_grad=True)
    scores = 0.5 * ((x @ A) * x).sum(dim=1)
    penalty = gradient_penalty(scores, x)
    assert_single(penalty.detach(), (x @ A).square().sum(dim=1).mean().detach())
    # and it can be descended: its own gradient in x is 2 Aᵀ A x / n
    (slope,) = torch.autograd.grad(penalty, x)
    assert_single(slope, (2 * x @ A @ A / 20).detach())


class Still:
    """A step whose draws are fixed, to be taken outside the loop."""

    number, total, device = 0, 10, torch.device("cpu")

    def __init__(self, ids):
        self.ids = ids

    def backward(self, losses):
        found = losses(self)
        found["loss"].backward()
        return {name: float(value.detach()) for name, value in found.items()}

    def normal(self, stream, *shape):
        return torch.randn(len(self.ids), *shape, generator=torch.Generator().manual_seed(1))

    uniform = normal


@pytest.mark.parametrize("objective", ["minimax", "relativistic"])
@pytest.mark.parametrize("data", ["line", "digits"])
def test_a_step_moves_both_players_the_way_each_wants(objective, data):
    config = GANConfig(data=data, objective=objective, penalty=0.0, **SMALL)
    game = Game(config, GANTraining(learning_rate=1e-4), load(config))
    at = Still(torch.arange(64))
    value = {"minimax": minimax_value, "relativistic": relativistic_value}[objective]

    def score(players):
        real, fake = game._reals(at), players["generator"](at.normal("latent", 4))
        return float(value(players["discriminator"](real), players["discriminator"](fake)).detach())

    before = score(game.networks)
    generator = {name: weight.clone() for name, weight in game.networks["generator"].state_dict().items()}
    metrics = game.step(at)
    assert_single(-metrics["loss"], before)
    with_both = score(game.networks)
    # D alone climbs; G then takes back some of it
    game.networks["generator"].load_state_dict(generator)
    with_discriminator = score(game.networks)
    assert with_discriminator > before
    assert with_both < with_discriminator
    assert_single(metrics["generator_loss"], with_discriminator)


def test_the_discriminator_s_step_leaves_no_trace_in_the_generator_s_gradient():
    config = GANConfig(data="line", **SMALL)
    game = Game(config, GANTraining(), load(config))
    at = Still(torch.arange(32))
    game._descend(at, "discriminator", lambda part: game._discriminator_losses(game._reals(part), torch.randn(32, 1)))
    assert all(weight.grad is None for weight in game.networks["generator"].parameters())


def test_initial_weights_depend_on_the_seed_alone():
    config = GANConfig(data="line", **SMALL)
    made = []
    for seed, disturb in ((3, 0), (3, 99), (4, 0)):
        torch.manual_seed(disturb)
        made.append(Game(config, GANTraining(seed=seed), load(config)).networks["generator"].body.enter.weight)
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_the_average_follows_the_generator():
    config = GANConfig(data="line", average=0.5, **SMALL)
    game = Game(config, GANTraining(), load(config))
    with torch.no_grad():
        for weight in game.networks["generator"].parameters():
            weight.add_(1.0)
    before = game.networks["average"].body.leave.bias.clone()
    game._follow(number=1000)
    assert_single(game.networks["average"].body.leave.bias, before + 0.5)


def test_a_stopped_run_continues_as_if_it_had_not_stopped(tmp_path):
    from safetensors.torch import load_file

    settings = {"data": "line", "batch_size": 32, "device": "cpu", **SMALL}
    whole = families.train("gan", tmp_path / "whole", steps=6, **settings)
    run = families.train("gan", tmp_path / "stopped", steps=6, checkpoint_every=3, **settings)
    first, again = load_file(whole.weights), load_file(run.weights)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert {"loss", "generator_loss", "penalty", "modes", "high_quality"} <= set(run.metrics()[-1])
