import pytest

from theodolite.kernel.runs import RunFolder
from theodolite.linear_vae.config import LinearVAEConfig, LinearVAETraining
from theodolite.linear_vae.plan import plan
from theodolite.linear_vae.race import race_chart, race_table


@pytest.fixture
def run(tmp_path):
    config, training = LinearVAEConfig(), LinearVAETraining(batch_size=50)
    run = RunFolder.create(tmp_path / "run", "linear-vae", config, training, plan(config))
    for step, gap in enumerate((3.0, 0.5, 0.009)):
        run.append_metrics({"step": step, "seconds": 2.0, "loss": -1.0, "gap": gap})
    return run


EM = {"passes": [0, 1, 2, 3], "gaps": [5.0, 0.005, 0.02, 1e-7], "seconds": 0.5}


def test_a_pass_is_as_many_steps_as_there_are_batches(run):
    (chart,) = race_chart(run, LinearVAEConfig(), LinearVAETraining(batch_size=50), 100)
    assert chart.layers[0].columns["passes"] == [0.5, 1.0, 1.5]
    assert chart.layers[0].columns["gap"] == [3.0, 0.5, 0.009]
    assert chart.title == "reparametrised: 0.009 nats per sample are left after 2 passes"
    assert not race_table(run, LinearVAEConfig(), LinearVAETraining(), 100)


def test_near_is_where_the_gap_stays_small(run):
    run.write_json("race.json", {"em": EM})
    (chart,) = race_chart(run, LinearVAEConfig(), LinearVAETraining(batch_size=50), 100)
    assert chart.title.endswith("; em comes within 10⁻⁶ after 3")
    (table,) = race_table(run, LinearVAEConfig(), LinearVAETraining(batch_size=50), 100)
    assert table.rows == (("reparametrised", 1.5, None, None, 0.009, 2.0), ("em", 3, 3, 3, 1e-7, 0.5))
    assert table.title.endswith("beside the closed form: em")


def test_without_a_course_nothing_is_drawn(tmp_path):
    config, training = LinearVAEConfig(), LinearVAETraining()
    run = RunFolder.create(tmp_path / "run", "linear-vae", config, training, plan(config))
    assert race_chart(run, config, training, 100) == race_table(run, config, training, 100) == ()
