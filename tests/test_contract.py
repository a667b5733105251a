"""What every family must do, whatever it is: the same tests for all (as scikit-learn's estimator checks)."""

import html
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import save_file
from tests.tolerances import SINGLE

from theodolite import families
from theodolite.families import FAMILIES
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.records import Audit, Plan
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.settings import TrainSettings

# the smallest settings under which a family still does all that it does
TINY = {
    "linear-vae": {"steps": 30},
    "gan": {"data": "line", "steps": 20, "reals": 1000},
    "video-unet": {"steps": 3, "frames": 4, "height": 16, "width": 16, "base": 4, "clips": 40, "held_out": 8},
    "nested-vit": {"steps": 3, "batch_size": 2, "held_out": 16, "show_size": 0},
}
TRAINED = [name for name, family in FAMILIES.items() if family.training_class]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Each family trained for a few steps, once."""
    made: dict[str, RunFolder] = {}

    def get(name):
        if name not in made:
            out = tmp_path_factory.mktemp("runs") / name
            made[name] = families.train(name, out, device="cpu", **TINY[name])
        return made[name]

    return get


@pytest.fixture(scope="module")
def audits(runs):
    """The audit of each, once, found again through its path alone."""
    made: dict[str, Audit] = {}

    def get(name):
        if name not in made:
            made[name] = families.audit(runs(name).path)
        return made[name]

    return get


@pytest.mark.parametrize("name", FAMILIES)
def test_settings_are_flat_few_and_described(name):
    config = FAMILIES[name].config
    assert len(config.model_fields) <= 25
    assert all(field.description for field in config.model_fields.values())
    assert config.model_config["frozen"]
    training = FAMILIES[name].training
    if training:
        assert issubclass(training, TrainSettings)
        assert set(training.model_fields) == set(TrainSettings.model_fields)
        assert set(training.model_fields).isdisjoint(config.model_fields)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_unknown_setting_is_refused(name):
    with pytest.raises(UsageError, match="has no setting 'no_such_setting'"):
        families.plan(name, no_such_setting=1)


@pytest.mark.parametrize("name", TRAINED)
def test_a_plan_is_the_same_twice_and_promises_something(name):
    plan = families.plan(name)
    assert plan == families.plan(name)
    assert plan.family == name
    assert plan.predictions
    assert plan.assumptions
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize("name", TRAINED)
def test_a_plan_needs_no_torch(name):
    code = f"import sys; from theodolite import families; families.plan({name!r}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


@pytest.mark.parametrize("name", TRAINED)
def test_every_prediction_is_measured_from_the_folder_alone(name, runs, audits):
    run, audit = runs(name), audits(name)
    predicted = [prediction.name for prediction in run.plan.predictions]
    assert [finding.prediction.name for finding in audit.findings] == predicted
    assert 1 <= len(audit.sentences) <= 4
    assert 1 <= len(audit.figures) <= 4
    assert run.audit == audit
    named = [getattr(exhibit, key, None) for exhibit in audit.exhibits for key in ("array", "nearest")]
    assert all((run.exhibits / file).is_file() for file in named if file)


@pytest.mark.parametrize("name", TRAINED)
def test_a_falsified_plan_makes_the_audit_fail_and_changes_no_measurement(name, runs, audits, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs(name).path, folder)
    run = RunFolder(folder)
    falsified = run.plan.model_copy(update={"predictions": tuple(map(falsify, audits(name).findings))})
    run.write_record("plan.json", falsified)
    reseal(run)
    audit = families.audit(run)
    assert audit.failed
    assert {finding.verdict for finding in audit.findings} == {"fails"}
    counts = [
        [finding.measurement.value for finding in found.findings if finding.measurement.uncertainty == 0]
        for found in (audit, audits(name))
    ]
    np.testing.assert_allclose(counts[0], counts[1], rtol=SINGLE)


def falsify(finding):
    """The prediction, moved to where its measurement contradicts it."""
    prediction, measurement = finding.prediction, finding.measurement
    away = 10 * (abs(measurement.value) + measurement.uncertainty + prediction.tolerance + 1)
    wrong = measurement.value + (away if prediction.claim == "lower bound" else -away)
    return prediction.model_copy(update={"value": wrong})


def reseal(run):
    """Write the weights again under the seal of the plan that is there now."""
    with safe_open(run.weights, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    save_file(tensors, run.weights, metadata={"plan": run.plan.digest()})


@pytest.mark.parametrize("name", TRAINED)
def test_a_plan_changed_after_training_is_not_audited(name, runs):
    run = runs(name)
    sealed = (run.path / "plan.json").read_bytes()
    changed = json.loads(sealed)
    changed["predictions"][0]["value"] = 12345.0
    (run.path / "plan.json").write_text(json.dumps(changed))
    try:
        with pytest.raises(DataError, match="was changed after training"):
            families.audit(run)
    finally:
        (run.path / "plan.json").write_bytes(sealed)


@pytest.mark.parametrize("name", TRAINED)
def test_a_run_resumes_to_more_steps(name, runs):
    run = runs(name)
    steps = TINY[name]["steps"]
    with pytest.raises(UsageError, match="it can only grow"):
        families.resume(run.path, steps=steps - 1)
    families.resume(run.path, steps=steps + 1)
    assert run.metrics()[-1]["step"] == steps
    assert run.settings(FAMILIES[name].training).steps == steps + 1


@pytest.mark.parametrize("name", TRAINED)
def test_a_report_is_one_page_that_says_the_verdict(name, runs, audits, tmp_path):
    sentence = audits(name).sentences[0]
    page = families.write_report(runs(name), tmp_path / "report.html").read_text(encoding="utf-8")
    assert sentence in html.unescape(page)
    assert len(page.encode()) <= 2 * 2**20
