"""The network itself: one number by hand, the up-convolution as a matrix, any size."""

import itertools

import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import TypeCheckError, jaxtyped
from tests.tolerances import assert_identity, assert_single

from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.model import VideoUNet, fit


def build(**fields):
    torch.manual_seed(0)
    return VideoUNet(VideoUNetConfig(**{"base": 2, **fields})).double()


def test_one_value_of_the_first_convolution_by_hand():
    network = build(base=4)
    first = network.encoders[0].convolutions[0]
    clip = torch.rand(1, 3, 10, 32, 32, dtype=torch.float64)
    weight, bias = first.weight.detach().numpy(), first.bias.detach().numpy()
    pixels = clip.numpy()[0]
    for frame, row, column in ((4, 7, 9), (0, 0, 0), (9, 31, 5)):
        total = bias[2]
        for colour, df, dh, dw in itertools.product(range(3), (-1, 0, 1), (-1, 0, 1), (-1, 0, 1)):
            place = (frame + df, row + dh, column + dw)
            if all(0 <= at < side for at, side in zip(place, (10, 32, 32), strict=True)):  # outside the clip is zero
                total += weight[2, colour, df + 1, dh + 1, dw + 1] * pixels[(colour, *place)]
        assert_identity(first(clip)[0, 2, frame, row, column].item(), total)


def test_the_up_convolution_is_a_matrix():
    """Each input number writes its kernel, scaled, into a window of its own."""
    up = build(base=1, stages=1).decoders[0].up
    x = torch.rand(1, 2, 2, 1, 3, dtype=torch.float64)
    raised = up(x)
    matrix = np.zeros((raised.numel(), x.numel()))
    positions_in = np.arange(x.numel()).reshape(x.shape)
    positions_out = np.arange(raised.numel()).reshape(raised.shape)
    for channel_in, channel_out in itertools.product(range(2), range(raised.shape[1])):
        for place in itertools.product(range(2), range(1), range(3)):
            for tap in itertools.product(range(2), repeat=3):
                target = tuple(2 * p + t for p, t in zip(place, tap, strict=True))
                row, column = positions_out[(0, channel_out, *target)], positions_in[(0, channel_in, *place)]
                matrix[row, column] = up.weight[(channel_in, channel_out, *tap)].item()
    expected = matrix @ x.numpy().ravel() + up.bias.item()
    assert_identity(raised.detach().numpy().ravel(), expected)
    # its transpose is a convolution that steps by two: hence the name
    back = torch.nn.functional.conv3d(raised, up.weight, stride=2)
    assert_identity(back.detach().numpy().ravel(), matrix.T @ raised.detach().numpy().ravel())


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 5, 2), (10, 32, 32), (3, 17, 9), (11, 6, 31)])
@pytest.mark.parametrize("skips", [True, False])
def test_any_size_comes_back_at_its_size(size, skips):
    clip = torch.rand(2, 3, *size, dtype=torch.float64)
    assert build(skips=skips)(clip).shape == clip.shape


@pytest.mark.parametrize(("stages", "convolutions"), [(1, 1), (2, 3), (4, 1), (5, 2)])
def test_any_depth_is_built(stages, convolutions):
    network = build(base=1, stages=stages, convs_per_stage=convolutions)
    assert len(network.encoders) == len(network.decoders) == stages
    assert all(len(block.convolutions) == convolutions for block in (*network.encoders, *network.decoders))
    assert network(torch.rand(1, 3, 4, 8, 8, dtype=torch.float64)).shape == (1, 3, 4, 8, 8)


def test_without_skips_only_the_code_speaks():
    """Two clips whose deepest maps agree come back the same: nothing passes beside the code."""
    network = build(skips=False)
    network.bottleneck.register_forward_hook(lambda part, given, made: torch.ones_like(made))
    clips = torch.rand(2, 3, 10, 32, 32, dtype=torch.float64)
    first, second = network(clips)
    assert_identity(first.detach().numpy(), second.detach().numpy())


def test_with_zero_weights_on_the_skips_a_network_is_its_twin():
    """The inequality behind gain_of_skips: the one class of functions contains the other."""
    joined, plain = build(skips=True), build(skips=False)
    weights = plain.state_dict()
    for name, own in joined.state_dict().items():
        other = weights[name]
        own.zero_()
        own[:, : other.shape[1]].copy_(other) if own.ndim > 1 else own.copy_(other)
    clip = torch.rand(1, 3, 9, 16, 12, dtype=torch.float64)
    assert_identity(joined(clip).detach().numpy(), plain(clip).detach().numpy())


def test_fit_crops_and_pads_the_end():
    x = torch.arange(1.0, 9.0).reshape(1, 1, 2, 2, 2)
    assert fit(x, torch.Size((1, 2, 3)))[0, 0].tolist() == [[[1, 2, 0], [3, 4, 0]]]
    assert fit(x, x.shape[2:]) is not None
    assert_identity(fit(x, x.shape[2:]).numpy(), x.numpy())


def test_shapes_are_checked():
    """The annotations are true of real calls, and refuse a clip without its batch axis."""
    checked = jaxtyped(typechecker=beartype)(VideoUNet.forward)
    network = build().float()
    assert checked(network, torch.rand(1, 3, 4, 8, 8)).shape == (1, 3, 4, 8, 8)
    with pytest.raises(TypeCheckError):
        checked(network, torch.rand(3, 4, 8, 8))


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_weight_gradients_in_single_precision_are_right_at_every_depth(depth):
    """Training on a processor is float32: in bfloat16 torch 2.13 is silently wrong at depth 2, the bottleneck's."""
    torch.manual_seed(3)
    x, weight = torch.randn(2, 8, depth, 4, 4, dtype=torch.float64), torch.randn(8, 8, 3, 3, 3, dtype=torch.float64)

    def gradient(dtype):
        w = weight.to(dtype).clone().requires_grad_(True)
        torch.nn.functional.conv3d(x.to(dtype), w, padding=1).square().sum().backward()
        return w.grad.double()

    exact = gradient(torch.float64)
    assert_single(gradient(torch.float32) / exact.norm(), exact / exact.norm())


def test_repetition_and_convolution_is_one_convolution_of_a_larger_map():
    """Position by position: each number below stands 2 × 2 × 2 times, and a kernel of 3 slides over that."""
    up = build(base=1, stages=1, up="resize").decoders[0].up
    x = torch.rand(1, 2, 2, 1, 3, dtype=torch.float64)
    raised = up(x).detach().numpy()
    assert raised.shape == (1, 1, 4, 2, 6)
    weight, bias = up[1].weight.detach().numpy(), up[1].bias.item()
    for place in np.ndindex(4, 2, 6):
        total = bias
        for channel, *tap in itertools.product(range(2), (-1, 0, 1), (-1, 0, 1), (-1, 0, 1)):
            read = [p + t for p, t in zip(place, tap, strict=True)]
            if all(0 <= at < side for at, side in zip(read, (4, 2, 6), strict=True)):
                below = tuple(at // 2 for at in read)
                total += weight[(0, channel, *(t + 1 for t in tap))] * x.numpy()[(0, channel, *below)]
        assert_identity(raised[(0, 0, *place)], total)


def test_repetition_leaves_no_checkerboard():
    """Of a constant map: a transposed convolution writes its taps as a pattern, repetition and convolution do not."""
    even = torch.arange(1.0, 5.0, dtype=torch.float64)[:, None, None, None].square().expand(1, 4, 4, 4, 4)
    inside = {
        up: build(base=2, stages=1, up=up).decoders[0].up(even)[..., 1:-1, 1:-1, 1:-1]
        for up in ("transposed", "resize")
    }
    spread = {up: each.std(dim=(2, 3, 4)).max().item() for up, each in inside.items()}
    assert_identity(spread["resize"], 0)
    assert spread["transposed"] > 0.1


def test_kernels_and_pools_along_each_axis():
    network = build(kernel=(1, 3, 5), pool=(1, 2, 3), stages=2, up="resize")
    assert network.encoders[1].convolutions[0].weight.shape[2:] == (1, 3, 5)
    clip = torch.rand(1, 3, 5, 8, 11, dtype=torch.float64)
    assert network(clip).shape == clip.shape
    # kernels of one frame and no pooling over frames: every frame is by itself
    assert_identity(network(clip)[:, :, 2:3].detach().numpy(), network(clip[:, :, 2:3]).detach().numpy())
