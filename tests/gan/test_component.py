"""Real samples drawn again by weight, the settings of a further generator, and one that is stopped and goes on."""

import os
import signal

import numpy as np
import pytest
from tests.tolerances import assert_identity

from theodolite import families
from theodolite.gan.component import Target, draw_again, settings_of, train_component
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import load
from theodolite.gan.train import Game
from theodolite.kernel.errors import InterruptedRun

FIELDS = {"data": "line", "reals": 400, "width": 8, "depth": 1, "withhold": 2}


def test_every_row_comes_as_often_as_is_due():
    weights = np.random.default_rng(0).dirichlet(np.full(50, 0.3))
    for seed in range(5):
        counts = np.bincount(draw_again(weights, 200, seed), minlength=50)
        assert counts.sum() == 200
        assert (np.abs(counts - 200 * weights) < 1).all()
    assert not np.array_equal(draw_again(weights, 200, 0), draw_again(weights, 200, 1))


def test_no_row_of_no_weight_is_drawn():
    weights = np.array([0.0, 0.5, 0.0, 0.5, 0.0])
    assert set(draw_again(weights, 1000, 3).tolist()) == {1, 3}


def test_on_average_it_is_the_weight():
    weights = np.array([0.001, 0.3, 0.699])
    counts = np.mean([np.bincount(draw_again(weights, 10, seed), minlength=3) for seed in range(3000)], axis=0)
    # a row that is due once in a hundred draws comes once in a hundred of them
    assert abs(counts[0] - 0.01) < 4 * np.sqrt(0.01 / 3000)
    assert_identity(counts.sum(), 10)


def target(tmp_path, steps=0, **fields):
    run = families.train("gan", tmp_path / "run", steps=2, device="cpu", **FIELDS | fields)
    config = run.settings(GANConfig)
    data = load(config.model_copy(update={"withhold": None}))
    return Target(run, config, run.settings(GANTraining), data, steps)


def test_settings_are_those_of_the_run_but_nothing_is_withheld(tmp_path):
    of = target(tmp_path, pace=2.0, learning_rate=0.002)
    config, training = settings_of(of, 3)
    assert config == of.config.model_copy(update={"withhold": None})
    assert training == of.training.model_copy(update={"seed": 3})
    assert settings_of(Target(of.run, of.config, of.training, of.data, 7), 1)[1].steps == 7


def test_the_stable_game_does_not_take_over_what_suited_another(tmp_path):
    of = target(tmp_path, objective="minimax", pace=2.0, learning_rate=0.002)
    config, training = settings_of(of, 1)
    assert (config.objective, config.pace, config.width) == ("relativistic", GANConfig().pace, 8)
    assert (training.learning_rate, training.steps) == (GANTraining().learning_rate, GANTraining().steps)


def test_one_that_was_stopped_goes_on_to_the_same_end(tmp_path, monkeypatch):
    of = target(tmp_path, steps=12)
    weights = np.full(len(of.data.train), 1 / len(of.data.train))
    whole = train_component(of, 1, weights)[0].weights.read_bytes()
    step, stopped_after = Game.step, []

    def interrupted(self, at):
        if at.number == 5 and not stopped_after:
            stopped_after.append(at.number)
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, at)

    monkeypatch.setattr(Game, "step", interrupted)
    # other rows than before: it begins anew
    weights[:10] = 0
    with pytest.raises(InterruptedRun, match=r"SIGTERM after step 6 of 12 .* repeat theodolite gan repair") as found:
        train_component(of, 1, weights)
    assert found.value.exit_code == 143
    run, further = train_component(of, 1, weights)
    assert run.metrics()[-1]["step"] == 11
    monkeypatch.undo()
    resumed = run.weights.read_bytes()
    assert resumed != whole
    (run.path / "rows.json").unlink()  # as if it had never been begun
    assert train_component(of, 1, weights)[0].weights.read_bytes() == resumed
    assert further.draw(3).shape == (3, 1)
