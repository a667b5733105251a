import numpy as np
import pytest
from tests.tolerances import assert_identity

from theodolite.kernel.errors import UsageError
from theodolite.kernel.runs import RunFolder
from theodolite.linear_vae.config import LinearVAEConfig, LinearVAETraining
from theodolite.linear_vae.plan import REACHED, plan
from theodolite.linear_vae.train import train


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


def gaps(run, name="gap"):
    return [row[name] for row in run.metrics() if name in row]


@pytest.mark.parametrize("method", ["reparametrised", "analytic"])
@pytest.mark.parametrize("noise", [None, 0.2])
def test_both_gradients_reach_the_optimum(tmp_path, table, method, noise):
    run = trained(tmp_path / "run", table, steps=400, method=method, noise_variance=noise)
    for name in ("gap", "rival_gap"):
        assert 0 <= gaps(run, name)[-1] < REACHED
        assert gaps(run, name)[-1] < gaps(run, name)[0] / 10


def test_the_other_method_can_be_left_out(tmp_path, table):
    run = trained(tmp_path / "run", table, steps=5, race=False)
    assert gaps(run)
    assert not gaps(run, "rival_gap")


def test_the_two_change_places_with_the_method(tmp_path, table):
    first = trained(tmp_path / "first", table, steps=20)
    second = trained(tmp_path / "second", table, steps=20, method="analytic")
    assert_identity(gaps(first), gaps(second, "rival_gap"))
    assert_identity(gaps(first, "rival_gap"), gaps(second))


def test_the_course_does_not_depend_on_the_priors_scale(tmp_path, table):
    first = trained(tmp_path / "first", table, steps=20)
    second = trained(tmp_path / "second", table, steps=20, prior_scale=30.0)
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
