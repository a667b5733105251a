"""Which precision is chosen, from measurements stood in for and from real ones."""

import pytest
import torch
from tests.engine.line import Line, make_run
from torch import nn

from theodolite.engine import precision
from theodolite.engine.bfloat16 import Check
from theodolite.engine.loop import fit
from theodolite.engine.precision import choose_precision, first_wrong
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.settings import TrainSettings

LINE = {"line": nn.Linear(3, 1)}


def test_the_processor_computes_in_float32_unless_asked():
    assert choose_precision(TrainSettings(device="cpu"), LINE) == "32-true"
    assert choose_precision(TrainSettings(device="cpu", precision="bf16-mixed"), LINE) == "bf16-mixed"
    assert choose_precision(TrainSettings(device="cpu", precision="64-true"), LINE) == "64-true"


def wrongly(layer, device):
    return Check(layer.name, 0.5, 0.01, "its output for an input of 1×3")


def test_bfloat16_asked_for_in_vain_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(precision, "check", wrongly)
    with pytest.raises(UsageError, match=r"Linear 3→1 errs by 0\.5 in its output .*take --precision 32-true") as caught:
        choose_precision(TrainSettings(device="cpu", precision="bf16-mixed"), LINE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("faster", "right", "chosen"),
    [(True, True, "bf16-mixed"), (False, True, "32-true"), (True, False, "32-true")],
)
def test_a_gpu_gets_bfloat16_only_where_it_is_faster_and_right(monkeypatch, faster, right, chosen):
    """Measurements of a GPU stood in for: what is decided from them is tested here."""
    rates = {torch.bfloat16: 400.0 if faster else 40.0, torch.float32: 50.0}
    monkeypatch.setattr(precision, "choose_device", lambda training: torch.device("cuda"))
    monkeypatch.setattr(precision, "matmul_rate", lambda device, kind, size: rates[kind])
    monkeypatch.setattr(precision, "check", lambda layer, device: Check(layer.name, 0 if right else 1, 0.01, ""))
    assert choose_precision(TrainSettings(), LINE) == chosen


def test_a_run_keeps_the_precision_it_began_in(tmp_path, monkeypatch):
    run, training = make_run(tmp_path / "run", steps=4, precision="bf16-mixed")
    fit(Line(), training, run)
    assert run.read_json("environment.json")["precision"] == "bf16-mixed"
    # left to itself it would now choose float32
    automatic = training.model_copy(update={"precision": "auto"})
    assert precision.settle_precision(automatic, LINE, run) == "bf16-mixed"
    monkeypatch.setattr(precision, "check", wrongly)
    with pytest.raises(UsageError, match="bf16-mixed is wrong on this machine"):
        fit(Line(), automatic.model_copy(update={"steps": 8}), run)
    run.write_json("environment.json", {"precision": ["x"]})
    with pytest.raises(DataError, match=r"environment\.json is damaged: its precision is none of"):
        precision.settle_precision(automatic, LINE, run)


@pytest.mark.parametrize("kind", ["32-true", "64-true", "bf16-mixed"])
def test_a_resumed_run_ends_bitwise_the_same_in_every_precision(tmp_path, kind):
    fields = {"steps": 12, "checkpoint_every": 5, "precision": kind}

    class Killed(Line):
        def step(self, at):
            if at.number == 8:
                raise SystemExit
            return super().step(at)

    whole, training = make_run(tmp_path / "whole", **fields)
    fit(Line(), training, whole)
    broken, training = make_run(tmp_path / "broken", **fields)
    with pytest.raises(SystemExit):
        fit(Killed(), training, broken)
    fit(Line(), training, broken)
    assert broken.weights.read_bytes() == whole.weights.read_bytes()


def test_the_first_wrong_layer_is_found_or_none():
    assert first_wrong(LINE, torch.device("cpu")) is None
