"""3-D convolutions in bfloat16: every gradient against float32, where torch's own are wrong, too."""

import copy
import itertools
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from theodolite.engine.convolution import Conv3d, ConvTranspose3d, narrow

LAST = torch.channels_last_3d
BAR = 1e-2
"""Relative error that a bfloat16 gradient may have."""

ODD = st.sampled_from([1, 3, 5, 7])
SIDES = st.tuples(st.integers(1, 12), st.integers(1, 9), st.integers(1, 9))


def gradients(layer, x, narrow):
    """Output, input gradient, weights' gradients for the same draws in bfloat16 or in float32."""
    x, layer = x.clone().requires_grad_(), copy.deepcopy(layer)
    with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
        y = layer(x)
    generator = torch.Generator().manual_seed(1)
    y.backward(torch.randn(y.shape, generator=generator).bfloat16().to(y.dtype))
    return {"output": y.detach(), "input": x.grad} | {name: each.grad for name, each in layer.named_parameters()}


def worst(layer, x):
    """Largest relative error in norm, and where; a norm of zero is met by zeros."""
    right, found = (gradients(layer, x, narrow) for narrow in (False, True))
    off = {name: float((found[name].double() - right[name].double()).norm()) for name in right}
    errors = {name: off[name] / (float(right[name].double().norm()) or 1.0) for name in right}
    # what is not a number is larger than anything
    return max((not error <= BAR, error, name) for name, error in errors.items())


def clip(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).bfloat16().float()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.integers(1, 20), st.integers(8, 20), st.tuples(ODD, ODD, ODD), SIDES)
def test_every_gradient_of_any_convolution_is_that_of_float32(batch, before, after, kernel, size):
    torch.manual_seed(0)
    wrong, error, name = worst(Conv3d(before, after, kernel), clip(batch, before, *size))
    assert not wrong, f"{name} errs by {error:.2g}"


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(8, 20), st.integers(1, 20), st.tuples(*[st.integers(1, 3)] * 3), SIDES)
def test_every_gradient_of_any_up_convolution_is_that_of_float32(batch, before, after, window, size):
    torch.manual_seed(0)
    wrong, error, name = worst(ConvTranspose3d(before, after, window), clip(batch, before, *size))
    assert not wrong, f"{name} errs by {error:.2g}"


@pytest.mark.parametrize("layer", [Conv3d(128, 64, (3, 3, 3)), ConvTranspose3d(256, 32, (2, 2, 2))])
def test_frames_that_outgrow_a_cache(layer):
    wrong, error, name = worst(layer, clip(1, layer.in_channels, 2, 32, 32))
    assert not wrong, f"{name} errs by {error:.2g}"


WITHOUT_TILES = """
import itertools, torch
from tests.engine.test_convolution import Conv3d, clip, worst
torch.set_num_threads(1)
for kernel, depth in itertools.product((1, 3, 5, 7), range(1, 13)):
    wrong, error, name = worst(Conv3d(16, 16, (kernel, 3, 3)), clip(1, 16, depth, 4, 5))
    assert not wrong, (kernel, depth, name, error)
"""


def test_processors_without_matrix_tiles():
    """Where torch's own are wrong for few frames: oneDNN reads this variable once, so it takes a process."""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", WITHOUT_TILES], check=True, timeout=120, env=environment)


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_in_other_precisions_it_is_torch_s_own_bit_for_bit(frames, dtype):
    layer, x = Conv3d(3, 8, (3, 1, 5)).to(dtype), clip(2, 3, frames, 6, 7).to(dtype)
    plain = F.conv3d(x, layer.weight, layer.bias, padding=(1, 0, 2))
    assert torch.equal(layer(x), plain)
    assert torch.equal(layer(x, rectified=True), plain.relu())
    up = ConvTranspose3d(3, 8, (2, 1, 3)).to(dtype)
    assert torch.equal(up(x), F.conv_transpose3d(x, up.weight, up.bias, stride=(2, 1, 3)))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_rectified_in_one_pass_or_in_two_is_the_same(frames, last):
    layer, x = Conv3d(5, 16, (5, 3, 3)).bfloat16(), clip(2, 5, frames, 6, 7).bfloat16()
    layer = layer.to(memory_format=LAST) if last else layer
    with torch.inference_mode():
        found = layer(x, rectified=True)
    torch.testing.assert_close(found, layer(x).relu().detach(), rtol=2**-7, atol=2**-7)
    assert found.is_contiguous(memory_format=LAST)
    assert (found == 0).any()
    assert (layer(x) < 0).any()


def test_in_training_what_is_not_a_number_is_not_hidden():
    layer = Conv3d(4, 4, (3, 3, 3)).bfloat16()
    nn.init.constant_(layer.bias, torch.nan)
    assert layer(clip(1, 4, 3, 4, 4).bfloat16(), rectified=True).isnan().all()


def test_a_layer_knows_when_it_computes_in_bfloat16():
    x = torch.zeros(1)
    assert [narrow(each) for each in (x, x.double(), x.bfloat16(), x.to("meta").bfloat16())] == [
        False,
        False,
        True,
        False,
    ]
    for dtype, expected in ((torch.bfloat16, True), (torch.float16, False)):
        with torch.autocast("cpu", dtype):
            assert narrow(x) is expected


def test_weights_take_the_layout_and_the_names_of_torch_s_own():
    for own, theirs in ((Conv3d(2, 3, (1, 3, 5)), nn.Conv3d(2, 3, (1, 3, 5))),
                        (ConvTranspose3d(2, 3, (1, 2, 3)), nn.ConvTranspose3d(2, 3, (1, 2, 3)))):  # fmt: skip
        pairs = itertools.zip_longest(own.state_dict().items(), theirs.state_dict().items())
        assert all(a[0] == b[0] and a[1].shape == b[1].shape for a, b in pairs)
