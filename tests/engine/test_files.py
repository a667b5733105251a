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
from theodolite.kernel.settings import TrainSettings


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


def test_a_checkpoint_that_inflates_is_refused_before_it_does(trained):
    with zipfile.ZipFile(trained.checkpoint, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**8))
    with pytest.raises(DataError, match=r"claims 100\.0 MB in a file of 0\.1 MB"):
        checkpoint.load(trained)


def test_parts_that_share_their_bytes_are_counted_each(trained):
    """Entries of the zip's directory that point at one place: each as long as the file, all together many files."""
    with zipfile.ZipFile(trained.checkpoint, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(1000))
    content = trained.checkpoint.read_bytes()
    start = content.index(b"PK\x01\x02")
    directory, end = content[start : content.index(b"PK\x05\x06")], bytearray(content[content.index(b"PK\x05\x06") :])
    end[8:12] = (50).to_bytes(2, "little") * 2
    end[12:16] = (50 * len(directory)).to_bytes(4, "little")
    trained.checkpoint.write_bytes(content[:start] + directory * 50 + end)
    with pytest.raises(DataError, match=r"claims 0\.1 MB in a file of 0\.0 MB"):
        checkpoint.load(trained)


def rewrite(path, change):
    """Write the checkpoint's pickle again, changed; its storages stay."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, change(content) if name.endswith("data.pkl") else content)


def test_a_storage_that_claims_more_than_the_file_holds_is_refused(trained):
    weight = b"K\x03tq"  # a storage of 3 numbers, as the weight of the line has it

    def enlarge(content):
        assert weight in content
        return content.replace(weight, b"\x8a\x06" + (10**12).to_bytes(6, "little") + b"tq", 1)

    rewrite(trained.checkpoint, enlarge)
    with pytest.raises(DataError, match="claims a tensor of 4000000"):
        checkpoint.load(trained)


def test_a_tensor_that_shows_one_number_a_billion_times_is_refused(trained):
    state = checkpoint.load(trained)
    state["networks"]["line"]["weight"] = torch.zeros(1).expand(10**9)
    checkpoint.save(trained, state)
    with pytest.raises(DataError, match=r"claims a tensor of 4000\.0 MB in a file of 0\.0 MB"):
        checkpoint.load(trained)


def test_weights_that_are_shared_count_once(trained):
    state = checkpoint.load(trained)
    shared = torch.ones(100_000)
    state["networks"]["line"].update(first=shared, second=shared, third=shared[:50_000])
    checkpoint.save(trained, state)
    assert checkpoint.load(trained)["networks"]["line"]["third"].sum() == 50_000


def nested(depth):
    return [nested(depth - 1)] if depth else torch.zeros(1)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda state: state.update(step="3"), "its step, time, networks or optimisers are none"),
        (lambda state: state.update(step=-1), "its step, time, networks or optimisers are none"),
        (lambda state: state.update(step=True), "its step, time, networks or optimisers are none"),
        (lambda state: state.update(seconds=float("nan")), "its step, time, networks or optimisers are none"),
        (lambda state: state.update(networks=[1]), "its step, time, networks or optimisers are none"),
        (lambda state: state.update(optimizers=None), "its step, time, networks or optimisers are none"),
        (lambda state: state.pop("seconds"), "is not a checkpoint of theodolite"),
        (lambda state: state.update(seal="0" * 64), "was changed after training began"),
        (lambda state: state.update(more=nested(30)), r"is damaged \(ValueError\)"),
        (lambda state: state["networks"].pop("line"), "its networks are none, the run's are 'line'"),
        (lambda state: state["networks"].update(other={}), "its networks are 'line', 'other', the run's are 'line'"),
        (lambda state: state["networks"].update(line=3), "does not fit the run's configuration"),
        (lambda state: state["networks"].update(line={}), r"Missing key\(s\) in state_dict: \"weight\", \"bias\""),
        (lambda state: state["networks"]["line"].update(weight=torch.ones(4, 1)), "size mismatch for weight"),
        (lambda state: state["networks"]["line"].update(weight=3), "does not fit the run's configuration"),
        (lambda state: state["networks"]["line"].update(extra=torch.ones(1)), 'Unexpected key.*"extra"'),
        (lambda state: state["networks"]["line"]["weight"].fill_(torch.nan), "not finite in network 'line'"),
        (lambda state: state["optimizers"].pop("line"), "optimiser 'line' is missing"),
        (lambda state: state["optimizers"].update(line=3), "does not fit the run's configuration"),
        (lambda state: state["optimizers"]["line"].update(param_groups=[]), "does not fit the run's configuration"),
        (lambda state: average(state).fill_(torch.inf), "not finite in optimiser 'line'"),
        (lambda state: moments(state).update(exp_avg=torch.ones(7)), r"exp_avg of optimiser 'line' has shape \(7,\)"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_one_line(trained, change, complaint):
    state = checkpoint.load(trained)
    change(state)
    checkpoint.save(trained, state)
    with pytest.raises(DataError, match=complaint) as caught:
        fit(Line(), trained.settings(TrainSettings), trained)
    assert "\n" not in str(caught.value)


def moments(state):
    return state["optimizers"]["line"]["state"][0]


def average(state):
    return moments(state)["exp_avg"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_checkpoints_resume_cleanly_or_not_at_all(trained, data):
    original = trained.checkpoint.read_bytes()
    content = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    trained.checkpoint.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    task = Line()
    with contextlib.suppress(DataError):  # anything else is a defect
        state = checkpoint.load(trained)
        checkpoint.restore_networks(trained.checkpoint, state["networks"], task.networks)
        checkpoint.restore_optimizer(trained.checkpoint, state["optimizers"], "line", task.optimizers["line"])
        assert all(torch.isfinite(value).all() for value in task.networks["line"].parameters())
    trained.checkpoint.write_bytes(original)


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
