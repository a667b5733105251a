import numpy as np
import pytest
from tests.tolerances import assert_identity

from theodolite.kernel.errors import UsageError
from theodolite.kernel.runs import RunFolder
from theodolite.linear_vae.config import LinearVAEConfig, LinearVAETraining
from theodolite.linear_vae.dataset import load
from theodolite.linear_vae.plan import REACHED, plan
from theodolite.linear_vae.solved import greatest_elbo
from theodolite.linear_vae.train import train
from theodolite.linear_vae.trained import TrainedVAE
from theodolite.theory.elbo import elbo


@pytest.fixture
def table(tmp_path):
    """Three strong directions among six."""
    random = np.random.default_rng(0)
    values = random.standard_normal((200, 3)) @ random.standard_normal((3, 6)) + 0.3 * random.standard_normal((200, 6))
    np.save(tmp_path / "x.npy", values)
    return str(tmp_path / "x.npy")


def trained(path, data, steps=300, **settings):
    fields = {"latent_dim": 3, **settings}
    config = LinearVAEConfig(data=data, **{n: v for n, v in fields.items() if n in LinearVAEConfig.model_fields})
    known = {name: value for name, value in fields.items() if name in LinearVAETraining.model_fields}
    training = LinearVAETraining(steps=steps, batch_size=60, learning_rate=0.05, device="cpu", **known)
    run = RunFolder.create(path, "linear-vae", config, training, plan(config))
    train(config, training, run)
    return run


def gaps(run):
    return [row["gap"] for row in run.metrics() if "gap" in row]


@pytest.mark.parametrize("draws", [8, 0])
@pytest.mark.parametrize("noise", [None, 0.2])
def test_steps_reach_the_optimum(tmp_path, table, draws, noise):
    run = trained(tmp_path / "run", table, steps=400, draws=draws, noise_variance=noise, race=False)
    assert 0 <= gaps(run)[-1] < REACHED
    assert gaps(run)[-1] < gaps(run)[0] / 10
    assert not run.read_json("race.json")


@pytest.mark.parametrize("method", ["closed-form", "em", "px-em", "lbfgs", "adam"])
def test_the_ways_without_steps_leave_weights_that_are_optimal(tmp_path, table, method):
    run = trained(tmp_path / "run", table, steps=3000, method=method, race=False)
    config, data = run.settings(LinearVAEConfig), load(run.settings(LinearVAEConfig))
    summary = data.summary()
    weights = TrainedVAE.load(run, config, summary).weights()
    assert 0 <= greatest_elbo(config, summary) - elbo(summary.covariance, weights) + 1e-12 <= 2e-6
    assert gaps(run)[-1] <= 1e-6
    assert run.read_json("environment.json")["processes"] == 1


@pytest.mark.parametrize("method", ["reparametrised", "px-em"])
def test_every_other_procedure_runs_too(tmp_path, table, method):
    run = trained(tmp_path / "run", table, steps=60, method=method)
    courses = run.read_json("race.json")
    everyone = {"closed-form", "em", "px-em", "lbfgs", "adam", "reparametrised"}
    assert set(courses) == everyone - {method}
    assert all(len(course["passes"]) == len(course["gaps"]) > 0 for course in courses.values())
    assert courses["closed-form"]["gaps"][-1] < 1e-9


def test_the_course_does_not_depend_on_the_priors_scale(tmp_path, table):
    first = trained(tmp_path / "first", table, steps=20, race=False)
    second = trained(tmp_path / "second", table, steps=20, prior_scale=30.0, race=False)
    assert_identity(gaps(first), gaps(second))


def test_the_data_are_named_by_path_hash_and_what_was_held_out(tmp_path, table):
    run = trained(tmp_path / "run", table, steps=1)
    named = run.read_json("data.json")
    assert named["path"] == table
    assert len(named["sha256"]) == 64
    assert len(named["held_out"]) == 20


def test_single_precision_trains_too(tmp_path, table):
    assert gaps(trained(tmp_path / "run", table, steps=400, precision="32-true"))[-1] < REACHED


def test_too_many_dimensions_are_refused_before_anything_is_written(tmp_path, table):
    with pytest.raises(UsageError, match="latent_dim=7 exceeds the 6 columns"):
        trained(tmp_path / "run", table, latent_dim=7)
    assert not (tmp_path / "run").exists()
