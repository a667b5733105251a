import torch

from theodolite.nested_vit.optimiser import WEIGHT_DECAY, adamw, rate


def test_the_rate_rises_then_falls():
    rates = [rate(number, 400) for number in range(400)]
    assert rates[0] < rates[24] > rates[100] > rates[399]
    assert max(rates) <= 1


def test_matrices_decay_and_vectors_do_not():
    optimizer = adamw(torch.nn.Linear(3, 2).parameters(), 0.1)
    assert {(group["params"][0].ndim, group["weight_decay"]) for group in optimizer.param_groups} == {
        (2, WEIGHT_DECAY),
        (1, 0.0),
    }
