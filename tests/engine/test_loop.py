import os
import signal

import pytest
import torch
from tests.engine.line import Line, make_run
from torch import nn

from theodolite.engine import checkpoint
from theodolite.engine.export import load_weights
from theodolite.engine.loop import _lost_processes_named, fit
from theodolite.kernel.errors import DataError, DivergedError, InterruptedRun, ResourceError
from theodolite.kernel.settings import TrainSettings


def weights(run):
    network = nn.Linear(3, 1)
    load_weights(run, {"line": network})
    return torch.cat([parameter.detach().ravel() for parameter in network.parameters()])


def test_a_linear_target_is_learned(tmp_path):
    run, training = make_run(tmp_path / "run", steps=400, learning_rate=0.05)
    fit(Line(), training, run)
    torch.testing.assert_close(weights(run), torch.tensor([1.0, 2.0, 3.0, 0.0]), atol=1e-3, rtol=0)
    rows = run.metrics()
    assert [row["step"] for row in rows] == [*range(0, 400, 10), 399]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert run.read_json("environment.json")["precision"] == "32-true"


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path):
    runs = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        runs[name], training = make_run(tmp_path / name, steps=20, seed=seed)
        fit(Line(), training, runs[name])
    assert torch.equal(weights(runs["a"]), weights(runs["b"]))
    assert not torch.equal(weights(runs["a"]), weights(runs["c"]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_resumes_to_bitwise_the_same_end(tmp_path, number):
    whole, training = make_run(tmp_path / "whole", steps=60)
    fit(Line(), training, whole)

    class Interrupted(Line):
        def step(self, at):
            if at.number == 23:
                os.kill(os.getpid(), number)
            return super().step(at)

    broken, training = make_run(tmp_path / "broken", steps=60)
    with pytest.raises(InterruptedRun, match="after step 24 of 60; continue with --resume") as caught:
        fit(Interrupted(), training, broken)
    assert caught.value.exit_code == 128 + number
    assert not broken.weights.exists()
    fit(Line(), training, broken)
    assert torch.equal(weights(whole), weights(broken))
    assert [row["step"] for row in broken.metrics()] == [row["step"] for row in whole.metrics()]


def test_a_run_killed_between_checkpoints_ends_bitwise_the_same(tmp_path):
    whole, training = make_run(tmp_path / "whole", steps=50, checkpoint_every=10)
    fit(Line(), training, whole)

    class Killed(Line):
        def step(self, at):
            if at.number == 37:
                raise SystemExit
            return super().step(at)

    broken, training = make_run(tmp_path / "broken", steps=50, checkpoint_every=10)
    with pytest.raises(SystemExit):
        fit(Killed(), training, broken)
    assert checkpoint.load(broken)["step"] == 30
    fit(Line(), training, broken)
    assert torch.equal(weights(whole), weights(broken))


def test_more_steps_extend_a_finished_run(tmp_path):
    run, training = make_run(tmp_path / "run", steps=10)
    fit(Line(), training, run)
    fit(Line(), TrainSettings(**training.model_dump() | {"steps": 20}), run)
    assert checkpoint.load(run)["step"] == 20
    whole, training = make_run(tmp_path / "whole", steps=20)
    fit(Line(), training, whole)
    assert torch.equal(weights(whole), weights(run))


def test_divergence_stops_and_keeps_the_last_good_state(tmp_path):
    class Diverging(Line):
        def losses(self, part):
            return {"loss": super().losses(part)["loss"] * (torch.nan if part.number == 25 else 1)}

    run, training = make_run(tmp_path / "run", steps=60, checkpoint_every=10)
    with pytest.raises(DivergedError, match=r"the loss is nan at step 25; .*last\.ckpt holds the last good state"):
        fit(Diverging(), training, run)
    state = checkpoint.load(run)
    assert state["step"] == 20
    assert all(torch.isfinite(value).all() for value in state["networks"]["line"].values())


def test_weights_that_overflow_are_never_saved(tmp_path):
    class Overflowing(Line):
        def step(self, at):
            metrics = super().step(at)
            if at.number == 14:
                with torch.no_grad():
                    self.networks["line"].weight.fill_(torch.inf)
                return {"loss": 0.0}
            return metrics

    run, training = make_run(tmp_path / "run", steps=15, checkpoint_every=10)
    with pytest.raises(DivergedError, match="a weight is not finite after step 15"):
        fit(Overflowing(), training, run)
    assert checkpoint.load(run)["step"] == 10


def test_two_trainings_cannot_share_a_folder(tmp_path):
    run, training = make_run(tmp_path / "run", steps=5)
    with run.lock(), pytest.raises(ResourceError, match="another process"):
        fit(Line(), training, run)


def test_slow_metrics_come_at_their_own_pace(tmp_path):
    class Measured(Line):
        evaluate_every = 4

        def evaluate(self, number):
            return {"gap": 1.0 / number}

    run, training = make_run(tmp_path / "run", steps=10, log_every=100)
    fit(Measured(), training, run)
    assert {row["step"]: row["gap"] for row in run.metrics() if "gap" in row} == {3: 1 / 4, 7: 1 / 8, 9: 1 / 10}


def test_a_plan_changed_after_training_is_noticed(tmp_path):
    run, training = make_run(tmp_path / "run", steps=5)
    fit(Line(), training, run)
    (run.path / "plan.json").write_text(run.plan.model_copy(update={"assumptions": ("hindsight",)}).model_dump_json())
    with pytest.raises(DataError, match=r"plan\.json was changed after training"):
        weights(run)
    with pytest.raises(DataError, match=r"plan\.json was changed after training"):
        fit(Line(), training, run)


def test_a_frozen_network_is_kept_with_the_others(tmp_path):
    class Averaged(Line):
        def __init__(self):
            super().__init__()
            self.networks["average"] = nn.Linear(3, 1).requires_grad_(False)

        def step(self, at):
            metrics = super().step(at)
            with torch.no_grad():
                self.networks["average"].weight.lerp_(self.networks["line"].weight, 0.5)
            return metrics

    run, training = make_run(tmp_path / "run", steps=5)
    fit(Averaged(), training, run)
    pair = {"line": nn.Linear(3, 1), "average": nn.Linear(3, 1)}
    load_weights(run, pair)
    assert not torch.equal(pair["line"].weight, pair["average"].weight)


def test_a_second_signal_waits_until_the_state_is_saved(tmp_path, monkeypatch):
    class Interrupted(Line):
        def step(self, at):
            if at.number == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().step(at)

    def slowly(run, state):
        if state["step"] == 4:
            os.kill(os.getpid(), signal.SIGINT)
        save(run, state)

    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", slowly)
    run, training = make_run(tmp_path / "run", steps=60)
    with pytest.raises(InterruptedRun, match="stopped by SIGTERM after step 4 of 60"):
        fit(Interrupted(), training, run)
    assert checkpoint.load(run)["step"] == 4


def test_without_a_folder_the_task_holds_what_a_run_would(tmp_path, capfd):
    run, training = make_run(tmp_path / "run", steps=30)
    fit(Line(), training, run)
    assert "step 30 of 30" in capfd.readouterr().err
    task = Line()
    fit(task, training)
    assert type(task.networks["line"]) is nn.Linear
    assert type(task.optimizers["line"]) is torch.optim.Adam
    trained = torch.cat([parameter.detach().ravel() for parameter in task.networks["line"].parameters()])
    assert torch.equal(trained, weights(run))
    assert capfd.readouterr() == ("", "")


def test_without_a_folder_there_is_nothing_to_save_and_signals_are_left_alone():
    class Interrupted(Line):
        def step(self, at):
            if at.number == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return super().step(at)

    task = Interrupted()
    # a shell starts its background jobs with SIGINT ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(task, TrainSettings(steps=10, device="cpu"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert type(task.networks["line"]) is nn.Linear


def test_divergence_without_a_folder_says_what_to_do():
    class Diverging(Line):
        def losses(self, part):
            return {"loss": super().losses(part)["loss"] * torch.inf}

    with pytest.raises(DivergedError, match="the loss is inf at step 0; try a lower learning rate"):
        fit(Diverging(), TrainSettings(steps=10, device="cpu"))


class Processes:
    def __init__(self, world_size):
        self.world_size = world_size


@pytest.mark.parametrize(
    ("processes", "message", "kind"),
    [
        (2, "[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:33731", ResourceError),
        (2, "mat1 and mat2 shapes cannot be multiplied", RuntimeError),
        (1, "gloo", RuntimeError),
    ],
)
def test_a_lost_process_is_said_to_be_that(processes, message, kind):
    with pytest.raises(kind) as caught, _lost_processes_named(Processes(processes)):
        raise RuntimeError(message)
    assert ("another process of this launch has ended" in str(caught.value)) == (kind is ResourceError)
