"""Checkpoints and weights that come from strangers, or from a broken disk."""

import contextlib
import pickle
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.line import Line, make_run
from torch import nn

from theodolite.engine import checkpoint
from theodolite.engine.export import load_weights, save_weights
from theodolite.engine.loop import fit
from theodolite.kernel.errors import DataError


@pytest.fixture
def trained(tmp_path):
    run, training = make_run(tmp_path / "run", steps=3)
    fit(Line(), training, run)
    return run


class Payload:
    def __reduce__(self):
        return (print, ("this must not be printed",))


def test_a_checkpoint_that_would_run_code_is_refused(trained, capsys):
    torch.save({"step": 1, "seal": "", "networks": Payload(), "optimizers": {}}, trained.checkpoint)
    with pytest.raises(DataError, match="is damaged"):
        checkpoint.load(trained)
    trained.checkpoint.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(DataError, match="is damaged"):
        checkpoint.load(trained)
    assert "must not" not in capsys.readouterr().out


def test_a_checkpoint_that_inflates_beyond_reason_is_refused(trained, monkeypatch):
    monkeypatch.setattr(checkpoint, "_LARGEST_BYTES", 1000)
    with zipfile.ZipFile(trained.checkpoint, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(100_000))
    with pytest.raises(DataError, match="claims more than"):
        checkpoint.load(trained)


def test_another_document_is_no_checkpoint(trained):
    torch.save({"weights": torch.ones(3)}, trained.checkpoint)
    with pytest.raises(DataError, match="is not a checkpoint"):
        checkpoint.load(trained)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_weights_load_cleanly_or_not_at_all(trained, data):
    original = trained.weights.read_bytes()
    content = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    trained.weights.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    network = nn.Linear(3, 1)
    with contextlib.suppress(DataError):  # anything else is a defect
        load_weights(trained, {"line": network})
    assert torch.isfinite(network.weight).all()
    trained.weights.write_bytes(original)


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), -1e20])
def test_weights_that_cannot_be_used_are_refused(trained, value):
    network = nn.Linear(3, 1)
    with torch.no_grad():
        network.bias.fill_(value)
    save_weights(trained, {"line": network})
    with pytest.raises(DataError, match=r"not finite or too large, first in line\.bias"):
        load_weights(trained, {"line": nn.Linear(3, 1)})


@pytest.mark.parametrize("network", [nn.Linear(4, 1), nn.Linear(3, 1, bias=False), nn.Conv1d(3, 1, 1)])
def test_weights_of_another_shape_are_refused(trained, network):
    with pytest.raises(DataError, match="does not fit the run's configuration"):
        load_weights(trained, {"line": network})


def test_absent_weights_say_what_to_do(trained):
    trained.weights.unlink()
    with pytest.raises(DataError, match="--resume"):
        load_weights(trained, {"line": nn.Linear(3, 1)})
