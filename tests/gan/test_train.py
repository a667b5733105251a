"""One step of training: values of the games, penalties on a quadratic, and the way each player goes."""

import math

import numpy as np
import pytest
import torch
from tests.tolerances import assert_sampling, assert_single

from theodolite import families
from theodolite.cli import main
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import load
from theodolite.gan.noise import FIRST, SETTLED, least_noise
from theodolite.gan.samples import TrainedGAN
from theodolite.gan.train import Game, Met, minimax_value, relativistic_value
from theodolite.kernel.errors import DivergedError

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


class Still:
    """A step whose draws are fixed, to be taken outside the loop."""

    total, device = 10, torch.device("cpu")

    def __init__(self, ids, number=0):
        self.ids, self.number = ids, number

    def backward(self, losses):
        found = losses(self)
        found["loss"].backward()
        return {name: float(value.detach()) for name, value in found.items()}

    def normal(self, stream, *shape):
        return torch.randn(len(self.ids), *shape, generator=torch.Generator().manual_seed(len(stream)))

    def uniform(self, stream, *shape):
        return torch.rand(len(self.ids), *shape, generator=torch.Generator().manual_seed(len(stream)))


def cost_of_discriminator(game, met):
    return float(game._discriminator_losses(met, game._penalty_at(0))["loss"].detach())


def cost_of_generator(game, at):
    return float(game._generator_losses(game._meet(at))["loss"].detach())


@pytest.mark.parametrize("objective", ["minimax", "non-saturating", "relativistic"])
@pytest.mark.parametrize("data", ["line", "ring8", "digits"])
def test_a_step_moves_both_players_the_way_each_wants(objective, data):
    config = GANConfig(data=data, objective=objective, penalty=0.0, **SMALL)
    game = Game(config, GANTraining(learning_rate=1e-4), load(config))
    at = Still(torch.arange(64))
    met = game._meet(at).detached()
    before = cost_of_discriminator(game, met)
    generator = {name: weight.clone() for name, weight in game.networks["generator"].state_dict().items()}
    metrics = game.step(at)
    assert_single(metrics["loss"], before)
    assert cost_of_discriminator(game, met) < before
    # against the D that has learned, the step of G lowered what it pays
    after = cost_of_generator(game, at)
    game.networks["generator"].load_state_dict(generator)
    assert after < cost_of_generator(game, at)
    assert_single(metrics["generator_loss"], float(game._generator_losses(game._meet(at))["value"].detach()))


class Identity(torch.nn.Module):
    """A discriminator whose score is the sample."""

    def forward(self, x, level=None):
        return x[:, 0]


def played_by_identity(game):
    game.judge = game.networks["discriminator"] = Identity()
    return game


def test_what_each_player_pays_in_each_game():
    met = Met(torch.tensor([[0.3], [-0.7]]), torch.tensor([[1.1], [0.4]]), None)
    real, fake = np.array([0.3, -0.7]), np.array([1.1, 0.4])
    log_sigmoid = lambda t: -np.log1p(np.exp(-t))  # noqa: E731  # one line of a formula
    value = log_sigmoid(real).mean() + log_sigmoid(-fake).mean()
    paid = {
        "minimax": (-value, value),
        "non-saturating": (-value, -log_sigmoid(fake).mean()),
    }
    for objective, (by_discriminator, by_generator) in paid.items():
        config = GANConfig(data="line", objective=objective, **SMALL)
        game = played_by_identity(Game(config, GANTraining(), load(config)))
        assert_single(cost_of_discriminator(game, met), by_discriminator)
        assert_single(float(game._generator_losses(met)["loss"]), by_generator)


def test_under_noise_pairs_weigh_as_the_root_of_their_noise():
    config = GANConfig(data="line", **SMALL)
    game = played_by_identity(Game(config, GANTraining(), load(config)))
    levels = torch.log(torch.tensor([[0.5], [0.1]]))
    met = Met(torch.tensor([[0.3], [-0.7]]), torch.tensor([[1.1], [0.4]]), levels)
    difference = np.array([0.3 - 1.1, -0.7 - 0.4])
    each = np.log1p(np.exp(difference))
    assert_single(float(game._generator_losses(met)["loss"]), (0.5**0.5 * each[0] + 0.1**0.5 * each[1]) / 2)
    assert_single(float(game._generator_losses(met)["value"]), each.mean())


@pytest.mark.parametrize("data", ["line", "ring8"])
def test_a_pair_has_noise_of_one_level_and_levels_lie_between_the_least_and_the_greatest(data):
    config = GANConfig(data=data, **SMALL)
    game = Game(config, GANTraining(), load(config))
    assert game.least_noise == least_noise(game.reals)
    for number, lowest in ((0, FIRST), (9, game.least_noise)):
        assert number == 0 or number / 10 > SETTLED
        at = Still(torch.arange(200), number)
        met = game._meet(at)
        assert lowest <= float(torch.exp(met.level).min()) < 1.2 * lowest
        assert 0.9 < float(torch.exp(met.level).max()) <= 1
        inputs, levels = met.both
        assert torch.equal(levels[:200], levels[200:])
        noise = (inputs[:200] - game._reals(at)) / torch.exp(levels[:200])
        assert_sampling(noise.detach().square().numpy(), 1.0)


def test_the_discriminator_s_step_leaves_no_trace_in_the_generator_s_gradient():
    config = GANConfig(data="line", **SMALL)
    game = Game(config, GANTraining(), load(config))
    game._descend(
        Still(torch.arange(32)),
        "discriminator",
        lambda part: game._discriminator_losses(game._meet(part).detached(), game._penalty_at(0)),
    )
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

    settings = {"data": "ring8", "batch_size": 32, "device": "cpu", **SMALL}
    whole = families.train("gan", tmp_path / "whole", steps=6, **settings)
    run = families.train("gan", tmp_path / "stopped", steps=6, checkpoint_every=3, **settings)
    first, again = load_file(whole.weights), load_file(run.weights)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert {"loss", "generator_loss", "penalty", "modes", "high_quality"} <= set(run.metrics()[-1])


def images(tmp_path):
    """A run's settings and data: small images."""
    path = tmp_path / "images.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (100, 12, 12, 3), dtype=np.uint8))
    config = GANConfig(data=str(path), width=4, latent_dim=6, bits=2)
    return config, load(config)


def test_the_penalties_of_images_come_at_every_fourth_step_and_count_as_much_more(tmp_path):
    config, data = images(tmp_path)
    game = Game(config, GANTraining(), data)
    assert [game._penalty_at(number) for number in range(6)] == [20, 0, 0, 0, 20, 0]
    every = Game(config.model_copy(update={"penalise_every": 1}), GANTraining(), data)
    met = every._meet(Still(torch.arange(16)))
    costs = [
        {name: float(value.detach()) for name, value in every._discriminator_losses(met.detached(), gamma).items()}
        for gamma in (0.0, 0.3, 1.2)
    ]
    assert costs[0]["penalty"] == 0
    assert_single(costs[2]["penalty"], 4 * costs[1]["penalty"])
    assert_single(costs[2]["loss"] - costs[2]["penalty"], costs[0]["loss"])


def test_no_gradient_of_a_standing_discriminator_is_computed(tmp_path):
    config, data = images(tmp_path)
    game = Game(config, GANTraining(), data)
    game._generator_losses(game._meet(Still(torch.arange(8))))["loss"].backward()
    assert all(weight.grad is None for weight in game.networks["discriminator"].parameters())
    assert all(weight.grad is not None for weight in game.networks["generator"].parameters())


def test_small_scans_are_generated_in_bfloat16_too():
    config = GANConfig(data="digits", width=8)
    game = Game(config, GANTraining(), load(config))
    with torch.autocast("cpu", torch.bfloat16):
        assert game._meet(Still(torch.arange(4))).fake.dtype == torch.float32


def test_gradients_of_the_penalty_in_bfloat16_are_those_of_float32(tmp_path):
    config, data = images(tmp_path)
    torch.manual_seed(0)
    game = Game(config, GANTraining(), data)
    found = []
    for narrow in (False, True):
        game.networks["discriminator"].zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            met = game._meet(Still(torch.arange(16))).detached()
            game._discriminator_losses(met, 1.0)["penalty"].backward()
        weights = game.networks["discriminator"].parameters()
        found.append(torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None]))
    # each of some ten products in a row rounds to 2⁻⁸
    assert (found[1] - found[0]).norm() / found[0].norm() < 10 * 2**-8


def test_a_diverging_run_stops_with_its_last_good_state_from_which_it_goes_on(tmp_path):
    run = families.train("gan", tmp_path / "run", data="line", steps=20, device="cpu", **SMALL)
    settings = run.path / "config.toml"
    careful = settings.read_text()
    settings.write_text(careful.replace("learning_rate = 0.0005", "learning_rate = 1e30"))
    with pytest.raises(DivergedError, match=r"last\.ckpt holds the last good state"):
        families.resume(run.path, steps=60)
    settings.write_text(careful)
    again = families.resume(run.path, steps=22)
    assert [row["step"] for row in again.metrics()][-1] == 21
    assert np.isfinite(TrainedGAN(again).draw(100)).all()


def test_divergence_is_exit_code_four(tmp_path):
    sizes = [word for name, value in SMALL.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    told = ["gan", "train", "--data", "line", "--out", str(tmp_path / "run"), "--steps", "50", "--device", "cpu"]
    with pytest.raises(SystemExit) as stopped:
        main([*told, *sizes, "--learning-rate", "1e30"])
    assert stopped.value.code == DivergedError.exit_code == 4
