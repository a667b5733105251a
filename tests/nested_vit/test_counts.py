import pytest
import torch
from tests.nested_vit.small import built, configured, random_batch
from torch.utils.flop_counter import FlopCounterMode

from theodolite.nested_vit.costs import Costs
from theodolite.nested_vit.counts import count_flops, counting_kept
from theodolite.nested_vit.gradients import chunked_losses
from theodolite.nested_vit.losses import Truth, losses
from theodolite.nested_vit.measures import plain_vit

SHAPES = [
    {},
    {"target": "label", "region_tokens": 3, "stages": 1},
    {"stages": 3, "local_blocks": 1, "global_blocks": 2, "width": 24, "heads": 3},
]


def on_meta(config, side):
    images, truth = random_batch(config, 1, side, side, torch.float32)
    return built(config, torch.float32).to("meta"), images.to("meta"), Truth(*(part.to("meta") for part in truth))


@pytest.mark.parametrize("fields", SHAPES)
@pytest.mark.parametrize("side", [64, 256, 200])
def test_formulas_equal_pytorchs_counter_to_the_integer(fields, side):
    config = configured(**fields)
    network, images, truth = on_meta(config, side)
    costs = Costs(config, side)
    with FlopCounterMode(display=False) as counter:
        output = network(images)
    assert counter.get_total_flops() == costs.forward
    with FlopCounterMode(display=False) as counter:
        torch.autograd.backward(losses(network(images), truth).total)
    assert counter.get_total_flops() == costs.training
    assert output.target.device.type == "meta"


@pytest.mark.parametrize("fields", SHAPES)
def test_our_tally_equals_pytorchs_counter(fields):
    config = configured(**fields)
    network, images, truth = on_meta(config, 64)
    assert count_flops(lambda: network(images)) == Costs(config, 64).forward
    assert (
        count_flops(lambda: torch.autograd.backward(losses(network(images), truth).total)) == Costs(config, 64).training
    )


@pytest.mark.parametrize("fields", SHAPES)
@pytest.mark.parametrize(("side", "chunk"), [(64, 12), (128, 64)])
def test_recomputation_costs_what_the_formula_says_however_it_is_cut(fields, side, chunk):
    config = configured(**fields, chunk=chunk)
    network, images, truth = on_meta(config, side)
    assert count_flops(lambda: chunked_losses(network, images, truth, config.chunk)) == Costs(config, side).chunked


@pytest.mark.parametrize("patch", [8, 16, 128])
@pytest.mark.parametrize("side", [256, 1024, 4096])
def test_plain_networks_cost_what_the_formula_says(patch, side):
    config = configured()
    plain, images = plain_vit(config, patch).to("meta"), torch.empty(1, 3, side, side, device="meta")
    with FlopCounterMode(display=False) as counter:
        plain(images)
    assert counter.get_total_flops() == Costs(config, side).plain(patch)


def test_a_storage_counts_once_and_while_it_lives():
    weight = torch.ones(4, requires_grad=True)
    with counting_kept([weight]) as kept:
        product = weight * torch.ones(4)  # keeps the ones: 16 bytes; the weight is a parameter
        square = product * product  # keeps the product twice over: 16 bytes once
        assert kept.now == 32
        torch.autograd.backward(square.sum())
        del product, square
        assert kept.now == 0
    assert kept.most == 32
