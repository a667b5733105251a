"""A batch in parts is the batch: gradients, means, and what is refused."""

import pytest
import torch
from tests.engine.line import Line, make_run
from tests.launched import train_all
from tests.tolerances import assert_identity, assert_single
from torch import nn

from theodolite.engine.devices import make_fabric
from theodolite.engine.export import load_weights
from theodolite.engine.loop import fit
from theodolite.engine.reduction import PARTS, Fixed, Plain, choose, cut, threads_for
from theodolite.engine.task import Step
from theodolite.kernel.errors import DivergedError, UsageError
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.settings import TrainSettings

FABRIC = make_fabric(TrainSettings(device="cpu"))


def a_step(reduction, size):
    return Step(3, 10, torch.arange(size) + 100, torch.device("cpu"), 0, reduction)


def a_network():
    torch.manual_seed(0)
    return FABRIC.setup_module(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double())


def losses_of(network):
    def losses(part):
        scores = network(part.normal("x", 3).double())
        return {"loss": scores.square().mean(), "score": scores.mean(), "ids": part.ids.double().mean()}

    return losses


def gradients(network):
    return [parameter.grad for parameter in network.parameters()]


@pytest.mark.parametrize("size", [1, 3, 8, 9, 29, 64])
def test_both_reductions_give_the_gradient_and_the_means_of_the_whole_batch(size):
    network = a_network()
    at = a_step(Plain(FABRIC), size)
    whole = losses_of(network)(at)
    expected = torch.autograd.grad(whole["loss"], list(network.parameters()))
    for reduction in (Plain(FABRIC), Fixed(FABRIC, [network])):
        network.zero_grad()
        means = a_step(reduction, size).backward(losses_of(network))
        assert means.keys() == whole.keys()
        for name, value in whole.items():
            assert_identity(means[name], float(value.detach()))
        for found, true in zip(gradients(network), expected, strict=True):
            assert_identity(found, true)


@pytest.mark.parametrize("reduction", ["plain", "fixed"])
def test_gradients_accumulate_and_untouched_parameters_have_none(reduction):
    first, second = a_network(), a_network()
    at = a_step(choose(reduction, FABRIC, [first, second], 20), 20)
    at.backward(losses_of(first))
    assert all(gradient is None for gradient in gradients(second))
    once = [gradient.clone() for gradient in gradients(first)]
    at.backward(losses_of(second))
    at.backward(losses_of(first))
    for twice, one in zip(gradients(first), once, strict=True):
        assert_identity(twice, 2 * one)
    for other, one in zip(gradients(second), once, strict=True):
        assert_identity(other, one)


@pytest.mark.parametrize("reduction", ["plain", "fixed"])
def test_every_loss_of_a_step_is_given_the_same_parts(reduction):
    network = a_network()
    seen = [[], []]
    at = a_step(choose(reduction, FABRIC, [network], 20), 20)
    for parts in seen:

        def losses(part, parts=parts):
            parts.append(part)
            return losses_of(network)(part)

        at.backward(losses)
    assert all(one is other for one, other in zip(*seen, strict=True))
    assert torch.cat([part.ids for part in seen[0]]).tolist() == at.ids.tolist()
    assert len(seen[0]) == {"plain": 1, "fixed": PARTS}[reduction]


@pytest.mark.parametrize("reduction", ["plain", "fixed"])
def test_a_loss_that_is_not_finite_in_one_sample_stops_the_step(reduction):
    network = a_network()

    def losses(part):
        scale = torch.where(part.ids == 107, torch.inf, 1.0)[:, None]
        return {"loss": (scale * network(part.normal("x", 3).double())).square().mean()}

    with pytest.raises(DivergedError, match="the loss is inf at step 3"):
        a_step(choose(reduction, FABRIC, [network], 20), 20).backward(losses)


def test_a_cut_leaves_nothing_out_and_is_even():
    for size in range(40):
        for count in (1, 2, 4, 8):
            parts = cut(torch.arange(size), count)
            assert torch.equal(torch.cat(parts), torch.arange(size))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


class Several:
    """As many processes as it says, to be asked and not to compute."""

    def __init__(self, world_size, global_rank=0):
        self.world_size, self.global_rank = world_size, global_rank


@pytest.mark.parametrize("processes", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [8, 29])
def test_the_parts_are_the_same_whatever_the_number_of_processes(processes, size):
    ids = torch.arange(size)
    shared = [part.tolist() for rank in range(processes) for part in Fixed(Several(processes, rank), []).cut(ids)]
    assert shared == [part.tolist() for part in cut(ids, PARTS)]


@pytest.mark.parametrize(
    ("processes", "reduction", "size", "complaint"),
    [
        (3, "plain", 2, "a batch of 2 samples leaves some of 3 processes without one; take --batch-size 3 or more"),
        (3, "fixed", 12, "adds up 8 parts in pairs, which 3 processes cannot share; start 1, 2, 4 or 8"),
        (16, "fixed", 99, "16 processes cannot share"),
    ],
)
def test_what_cannot_be_shared_is_refused(processes, reduction, size, complaint):
    with pytest.raises(UsageError, match=complaint):
        choose(reduction, Several(processes), [], size)


@pytest.mark.parametrize("batch_size", [8, 7])
def test_a_batch_may_be_shared_as_long_as_each_process_has_a_sample(batch_size):
    for processes in (1, 2, 4):
        choose("fixed", Several(processes), [], batch_size)


def test_the_fixed_reduction_computes_in_one_thread_and_leaves_the_rest_as_it_was():
    torch.set_num_threads(2)
    with threads_for("plain"):
        assert torch.get_num_threads() == 2
    with threads_for("fixed"):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def weights(path):
    network = nn.Linear(3, 1)
    load_weights(RunFolder(path), {"line": network})
    return torch.cat([parameter.detach().ravel() for parameter in network.parameters()])


def test_two_processes_end_where_one_ends_and_share_a_run(tmp_path):
    fixed = {"steps": 60, "batch_size": 21, "reduction": "fixed"}
    run, training = make_run(tmp_path / "one", **fixed)
    fit(Line(), training, run)
    plain, training = make_run(tmp_path / "plain_one", steps=60, batch_size=21)
    fit(Line(), training, plain)
    jobs = [
        ("line", str(tmp_path / "two"), fixed),
        ("line", str(tmp_path / "shared"), {**fixed, "steps": 30}),
        ("line", str(tmp_path / "plain_two"), {"steps": 60, "batch_size": 21}),
    ]
    train_all(2, jobs)
    assert torch.equal(weights(tmp_path / "two"), weights(run.path))
    # 30 steps on two processes, then to 60 on one
    training = TrainSettings(device="cpu", **fixed)
    fit(Line(), training, RunFolder(tmp_path / "shared"))
    assert torch.equal(weights(tmp_path / "shared"), weights(run.path))
    assert_single(weights(tmp_path / "plain_two"), weights(plain.path))
    assert not torch.equal(weights(plain.path), weights(run.path))
    for name in ("two", "one"):
        assert len(RunFolder(tmp_path / name).metrics()) == 7
    losses = [[row["loss"] for row in RunFolder(tmp_path / name).metrics()] for name in ("two", "one")]
    assert losses[0] == losses[1]
