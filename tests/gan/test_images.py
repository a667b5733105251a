"""Convolutional networks: their maps, their sizes as planned, their gradients, and what they start from."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from theodolite.gan.images import ConvolutionalDiscriminator, ConvolutionalGenerator
from theodolite.gan.pyramid import Pyramid, multiplications, parameters, suits

SHAPES = st.tuples(st.integers(8, 128), st.integers(8, 128), st.integers(1, 4))


@given(SHAPES, st.integers(1, 9), st.integers(0, 2), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_sizes_are_those_of_the_built_networks(shape, width, depth, latent_dim):
    pyramid = Pyramid.of(shape, width, depth)
    assert all(4 <= side < 8 or level.height > 4 for level in pyramid.levels for side in [min(level[:2])])
    assert min(pyramid.coarsest[:2]) < 8
    with torch.device("meta"):
        networks = ConvolutionalGenerator(latent_dim, pyramid), ConvolutionalDiscriminator(pyramid)
        inputs = torch.empty(3, latent_dim), torch.empty(3, math.prod(shape))
        for place, (network, given_to) in enumerate(zip(networks, inputs, strict=True)):
            assert sum(weight.numel() for weight in network.parameters()) == parameters(pyramid, latent_dim)[place]
            with FlopCounterMode(display=False) as counter:
                output = network(given_to)
            assert counter.get_total_flops() == 2 * 3 * multiplications(pyramid, latent_dim)[place]
            assert output.shape == (3, (math.prod(shape), 1)[place])


def test_a_pyramid_ends_at_a_side_of_about_four():
    sides = [(level.height, level.width, level.features) for level in Pyramid.of((17, 33, 3), 10, 1).levels]
    assert sides == [(17, 33, 10), (9, 17, 20), (5, 9, 40)]
    assert [level.features for level in Pyramid.of((128, 128), 8, 1).levels] == [8, 16, 32, 64, 64, 64]


@pytest.mark.parametrize(
    ("shape", "suitable"),
    [((8, 8), True), ((128, 8, 4), True), ((7, 8), False), ((8, 129), False), ((8, 8, 5), False), ((64,), False)],
)
def test_which_samples_are_images(shape, suitable):
    assert suits(shape) is suitable


def test_the_gradients_of_the_penalty_are_right():
    torch.manual_seed(0)
    network = ConvolutionalDiscriminator(Pyramid.of((9, 11, 2), 2, 1)).double()
    images = torch.randn(2, 9 * 11 * 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(network, images)
    assert torch.autograd.gradgradcheck(network, images)


def test_pixels_keep_their_places():
    """An image is flattened as (height, width, channels): only the pixels around a changed one change the first map."""
    torch.manual_seed(0)
    network = ConvolutionalDiscriminator(Pyramid.of((8, 10, 3), 4, 1))
    image = torch.zeros(8, 10, 3)
    changed = image.clone()
    changed[2, 7, 1] = 1.0
    seen = []
    network.enter.register_forward_hook(lambda *call: seen.append(call[2]))
    for each in (image, changed):
        network(each.reshape(1, -1))
    rows, columns = torch.nonzero((seen[0] != seen[1])[0].any(dim=0), as_tuple=True)
    assert set(rows.tolist()) == {1, 2, 3}
    assert set(columns.tolist()) == {6, 7, 8}


@pytest.mark.parametrize("side", [8, 64])
def test_networks_start_near_a_spread_of_one(side):
    torch.manual_seed(0)
    pyramid = Pyramid.of((side, side, 3), 16, 1)
    made = ConvolutionalGenerator(32, pyramid)(torch.randn(64, 32))
    assert 0.5 < made.std() < 2
    assert 0.3 < ConvolutionalDiscriminator(pyramid)(made).std() < 3


def test_rows_are_generated_on_their_own():
    torch.manual_seed(0)
    generator = ConvolutionalGenerator(6, Pyramid.of((12, 8), 4, 1)).double()
    latent = torch.randn(5, 6, dtype=torch.double)
    torch.testing.assert_close(generator(latent)[2:3], generator(latent[2:3]))
