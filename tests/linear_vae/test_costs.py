import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from theodolite.linear_vae import costs
from theodolite.linear_vae.model import LinearVAE
from theodolite.linear_vae.moments import Moments


@given(st.integers(1, 9), st.integers(0, 5), st.integers(2, 9), st.integers(1, 4))
def test_a_step_takes_what_torch_counts(batch, draws, d, k):
    network = LinearVAE(d, k, data_scale=2.0, prior_scale=3.0, noise_variance=None)
    with FlopCounterMode(display=False) as counter:
        network(torch.ones(batch, d), torch.ones(batch, draws, k) if draws else None).mean().backward()
    assert counter.get_total_flops() == costs.step_flops(batch, draws, d, k)


def test_a_pass_multiplies_each_pair_of_features_once_a_sample():
    n, d = 7, 5
    pairs = sum(1 for _ in range(n) for i in range(d) for j in range(i + 1))
    cost = costs.closed_form(n, d, 2, 4)
    assert cost.pass_products == pairs
    assert cost.read_bytes == np.ones((n, d), np.float32).nbytes


@pytest.mark.parametrize("d", [3, 40])
def test_what_a_pass_holds_does_not_grow_with_the_data(d):
    few, many = (Moments(d).add(np.random.default_rng(0).standard_normal((n, d))) for n in (10, 1000))
    held = [sum(value.nbytes for value in vars(m).values() if isinstance(value, np.ndarray)) for m in (few, many)]
    assert held[0] == held[1] <= 2 * costs.closed_form(10, d, 1, 8).state_bytes
