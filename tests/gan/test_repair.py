"""Repairs of generators that are known: accepted where they help, refused where they do not, and taken up again."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
import torch
from tests.gan.known import Known
from tests.tolerances import assert_single

from theodolite import cli, families
from theodolite.data.mixtures import Mixture, line
from theodolite.gan import judge, mixing
from theodolite.gan import repair as module
from theodolite.gan.component import train_component
from theodolite.gan.config import GANConfig
from theodolite.gan.dataset import load
from theodolite.gan.repair import judgement, repair
from theodolite.gan.repaired import RepairSettings, Round, repair_of
from theodolite.gan.samples import TrainedGAN
from theodolite.gan.train import Game
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.runs import RunFolder

LOST = 1  # of the line: at 0, where 40% of the data lie
FIELDS = {"data": "line", "reals": 600, "width": 8, "depth": 1, "withhold": LOST, "device": "cpu"}


@pytest.fixture
def run(tmp_path):
    return families.train("gan", tmp_path / "run", steps=2, **FIELDS)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(module, "FRESH", 2000)
    monkeypatch.setattr(mixing, "TRIED", 1000)
    monkeypatch.setattr(judge, "STEPS", 30)


@pytest.fixture
def known(monkeypatch):
    """Let the run, and every further generator, draw from a mixture that is known."""

    def of(own, further):
        class Own(TrainedGAN):
            def __init__(self, run, *, repaired=True):
                super().__init__(run, repaired=repaired)
                self.generator, self.latent_dim = Known(own, self.units), 1 + own.dimensions

        def trained(target, number, weights):
            folder, gan = train_component(target, number, weights)
            gan.generator, gan.latent_dim = Known(further, gan.units), 1 + further.dimensions
            return folder, gan

        monkeypatch.setattr(module, "TrainedGAN", Own)
        monkeypatch.setattr(mixing, "train_component", trained)

    return of


def only(mode):
    truth = line()
    return Mixture("one", truth.centres[[mode]], np.ones(1), truth.spread)


def test_a_lost_mode_is_mended_and_certified(run, known):
    known(line().without(LOST), only(LOST))
    found = repair(run, steps=2)
    assert found.accepted
    assert found == repair_of(run)
    (tried,) = found.rounds
    assert 0.3 < tried.reals_inside / tried.reals < 0.5
    assert tried.made_at_most < 0.1
    assert 0.5 < tried.made_at_least < 1
    # the mode gets its due
    assert abs(tried.share - 0.4) < 0.08
    assert abs(tried.after_inside / tried.fakes - 0.4) < 0.08
    assert tried.fidelity_after > 0.9
    assert found.why.startswith("in the missed set, where ")
    assert [part.folder for part in found.components] == ["", "repair/round-1"]


def test_what_the_run_draws_from_then_is_the_mixture(run, known, tmp_path):
    old = TrainedGAN(run).draw(50)
    known(line().without(LOST), only(LOST))
    found = repair(run, steps=2)
    mended = TrainedGAN(run)
    # the generators in the folder are not the known ones, but those of two steps each
    np.testing.assert_array_equal(TrainedGAN(run, repaired=False).draw(50), old)
    assert not np.array_equal(mended.draw(50), old)
    assert_single(mended.draw(3), mended.draw(50)[:3])
    parts = [TrainedGAN(run, repaired=False), TrainedGAN(RunFolder(run.path / "repair/round-1"))]
    if not found.judge:
        normal = torch.randn(400, mended.latent_dim)
        further = torch.special.ndtr(normal[:, 0]) >= found.components[0].share
        expected = torch.where(
            further[:, None], *(part.generator(normal[:, 2 : 2 + part.latent_dim]) for part in parts[::-1])
        )
        assert_single(mended.generator(normal).detach().numpy(), expected.detach().numpy())
    example = torch.randn(4, mended.latent_dim)
    program = torch.export.export(mended.generator, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert_single(program.module()(example).detach().numpy(), mended.generator(example).detach().numpy())


def test_a_further_generator_that_does_not_hit_is_refused(run, known):
    known(line().without(LOST), only(0))
    before = TrainedGAN(run).draw(5)
    found = repair(run, steps=2)
    assert not found.accepted
    assert found.why.startswith("refused: in the missed set the mixture makes at least 0% of what is due")
    np.testing.assert_array_equal(TrainedGAN(run).draw(5), before)


def test_where_nothing_is_certified_missed_nothing_is_trained(run, known):
    known(line(), only(0))
    found = repair(run, steps=2)
    assert not found.accepted
    assert found.why.startswith("nothing is certified missed")
    assert not (run.path / "repair").exists()


def test_a_fall_of_fidelity_is_refused():
    tried = Round(
        number=1, seen_by="", reals=100, reals_inside=10, fakes=100, before_inside=0, made_at_most=0.05,
        made_at_least=0.6, fidelity_before=0.9, fidelity_after=0.8, why="",
    )  # fmt: skip
    accepted, why = judgement(tried, RepairSettings())
    assert not accepted
    assert why == "refused: fidelity falls from 90.0% to 80.0%, by estimate; 5.0% is allowed"
    assert judgement(tried, RepairSettings(loss=0.2))[0]
    assert not judgement(tried, RepairSettings(loss=0.2, share=0.7))[0]


def test_a_second_round_stands_on_the_first_and_other_samples(run, known):
    known(line().without(LOST), only(LOST))
    found = repair(run, rounds=2, steps=2)
    assert [one.number for one in found.rounds] == [1, 2]
    assert [one.reals for one in found.rounds] == [90, 90]
    assert found.rounds[0].accepted
    assert found.rounds[1].why.startswith("nothing is certified missed any more")
    assert found.accepted
    # two bounds a round share the error: wider than with one round and as many samples
    assert found.why == found.rounds[0].why


def test_the_same_repair_is_not_made_twice(run, known, tmp_path):
    known(line().without(LOST), only(LOST))
    found = repair(run, steps=2)
    assert repair(run, steps=2) == found
    with pytest.raises(UsageError, match="was repaired with other settings; --force"):
        repair(run, steps=3)
    again = repair(run, steps=2, force=True)
    assert again.rounds[0].model_copy(update={"seconds": 0.0}) == found.rounds[0].model_copy(update={"seconds": 0.0})


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"rounds": 9}, UsageError, "rounds=9 leaves 20 of 180 held-out samples each; .* take 4 or fewer"),
        ({"share": 0}, UsageError, "share=0 must be"),
        ({"colour": 1}, UsageError, "unknown setting 'colour'"),
    ],
)
def test_what_cannot_be_meant_is_refused(run, fields, error, says):
    with pytest.raises(error, match=says):
        repair(run, **fields)


def test_a_run_that_was_not_trained_to_its_end_is_refused(run):
    run.weights.unlink()
    with pytest.raises(DataError, match="was not trained to its end"):
        repair(run)


def test_the_command_says_what_came_of_it(run, known, capsys):
    known(line(), only(0))
    with pytest.raises(SystemExit) as ended:
        cli.main(["gan", "repair", str(run.path), "--steps", "2"])
    assert ended.value.code == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("round 1: nothing is certified missed")
    assert told[1] == f"left as it was: {run.path}"
    with pytest.raises(SystemExit):
        cli.main(["gan", "repair", str(run.path), "--steps", "2", "--json"])
    assert json.loads(capsys.readouterr().out)["accepted"] is False


def test_what_was_withheld_is_there_for_the_repair(run):
    config = run.settings(GANConfig)
    assert (
        LOST
        in load(config.model_copy(update={"withhold": None})).counted.nearest(
            module._material(run, RepairSettings(), config, run.settings(module.GANTraining), module.silent).data.train
        )[0]
    )


def contents(folder):
    """What a repair leaves, but for the times it took."""
    names = [path.relative_to(folder) for path in sorted((folder / "repair").rglob("*.safetensors"))]
    record = json.loads((folder / "repair.json").read_text())
    for one in record["rounds"]:
        del one["seconds"]
    return {str(name): (folder / name).read_bytes() for name in names}, record


@pytest.mark.parametrize("stopped_in", ["training", pytest.param("certifying", marks=pytest.mark.slow)])
def test_a_command_that_was_stopped_goes_on_to_the_same_end(tmp_path, monkeypatch, capsys, stopped_in):
    """Nothing stands in for anything here but sizes: the command is stopped, given again, and compared."""
    command = ["gan", "repair", "--steps", "12", "--share", "0.01"]
    families.train("gan", tmp_path / "whole", steps=12, **FIELDS | {"reals": 800})
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")

    def given(name):
        with pytest.raises(SystemExit) as ended:
            cli.main([*command, str(tmp_path / name)])
        return ended.value.code

    assert given("whole") == 0
    if stopped_in == "training":
        step = Game.step

        def stopping(self, at):
            if at.number == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            return step(self, at)

        with monkeypatch.context() as patch:
            patch.setattr(Game, "step", stopping)
            assert given("stopped") == 128 + signal.SIGTERM
        assert "after step 6 of 12" in capsys.readouterr().err
    else:

        def killed(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(module, "made_at_least", killed)
            assert given("stopped") == 128 + signal.SIGINT
    assert not (tmp_path / "stopped" / "repair.json").exists()
    assert given("stopped") == 0
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    # what was trained before the stop was not trained again
    steps = [row["step"] for row in RunFolder(tmp_path / "stopped/repair/round-1").metrics()]
    assert steps == sorted(set(steps))
