"""The plan's table against the network that is built: every shape, weight, multiply-add and byte."""

import math

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from theodolite.theory.convolution import taps_inside
from theodolite.video_unet import probes
from theodolite.video_unet.architecture import code, maps
from theodolite.video_unet.blueprint import shape
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.model import VideoUNet
from theodolite.video_unet.plan import sees


@st.composite
def configs(draw):
    stages = draw(st.integers(1, 3))
    pools = draw(st.one_of(st.integers(1, 3), st.tuples(*[st.integers(1, 3)] * 3)))
    rounding = draw(st.sampled_from(["up", "down"]))
    least = [pool**stages for pool in (pools if isinstance(pools, tuple) else (pools,) * 3)]
    assume(max(least) <= 16)
    sides = [draw(st.integers(cell if rounding == "down" else 1, max(cell, 13))) for cell in least]
    odd = st.sampled_from([1, 3, 5, 7])
    return VideoUNetConfig(
        frames=sides[0],
        height=sides[1],
        width=sides[2],
        channels=draw(st.integers(1, 3)),
        stages=stages,
        convs_per_stage=draw(st.integers(1, 3)),
        base=draw(st.integers(1, 2)),
        kernel=draw(st.one_of(st.sampled_from([1, 3, 5]), st.tuples(odd, odd, odd))),
        pool=pools,
        rounding=rounding,
        code_channels=draw(st.sampled_from([None, 1, 3])),
        up=draw(st.sampled_from(["transposed", "resize"])),
        skips=draw(st.booleans()),
    )


def check_sizes(config):
    network = VideoUNet(config)
    clip = torch.rand(1, config.channels, config.frames, config.height, config.width)
    seen = probes.observed_shapes(network, clip)
    assert {each.name: shape(each) for each in maps(config)} == {each.name: seen[each.name] for each in maps(config)}
    assert network(clip).shape == clip.shape


def check_counts(config):
    made = maps(config)
    parameters = {name: part.numel() for name, part in VideoUNet(config).named_parameters()}
    assert sum(each.parameters for each in made) == sum(parameters.values())
    for each in made:
        own = sum(count for name, count in parameters.items() if name.rpartition(".")[0] == each.name)
        assert each.parameters == own
    assert sum(each.work for each in made) == probes.multiply_adds(config)
    assert sum(each.work_inside for each in made) == probes.multiply_adds_inside(config)
    assert sum(each.kept for each in made) == probes.kept_bytes(config)


def check_dead(config):
    assert sum(each.dead for each in maps(config)) == probes.dead_weights(config)


def check_field(config):
    for axis in range(3):
        assert sees(config, axis) == probes.receptive_field(config, axis)


@settings(max_examples=50, deadline=None)
@given(configs())
def test_every_map_has_the_size_that_was_planned(config):
    check_sizes(config)


@settings(max_examples=50, deadline=None)
@given(configs())
def test_weights_work_and_memory_are_those_counted_on_the_network(config):
    check_counts(config)


@settings(max_examples=40, deadline=None)
@given(configs())
def test_dead_weights_are_those_that_no_gradient_reaches(config):
    check_dead(config)


@settings(max_examples=10, deadline=None)
@given(configs())
def test_the_receptive_field_is_the_support_of_the_gradient(config):
    assume(max(config.cell) <= 8)
    check_field(config)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(configs())
def test_a_thousand_networks_are_as_planned(config):
    check_sizes(config)
    check_counts(config)
    check_dead(config)
    check_field(config)


def test_the_question_s_own_size():
    made = {each.name: each for each in maps(VideoUNetConfig())}
    assert sum(each.parameters for each in made.values()) == 5_601_507
    assert shape(made["encoders.0.convolutions.0"]) == "10×32×32×32"
    pooled = [shape(made[f"encoders.{stage}.pool"]) for stage in range(3)]
    assert pooled == ["5×16×16×32", "3×8×8×64", "2×4×4×128"]
    assert [shape(made[f"decoders.{stage}.join"]) for stage in range(3)] == ["3×8×8×256", "5×16×16×128", "10×32×32×64"]
    assert code(VideoUNetConfig()).numbers == 8192


def test_what_rounding_down_costs():
    config = VideoUNetConfig(rounding="down")
    assert shape(code(config)) == "1×4×4×256"
    # one frame deep, two of three temporal taps of both bottleneck convolutions read padding alone
    assert sum(each.dead for each in maps(config)) == 2 * 9 * (128 * 256 + 256 * 256)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_work_inside_the_clip_is_the_number_of_taps_that_a_convolution_of_ones_counts(kernel):
    size = (4, 5, 3)
    ones = torch.nn.functional.conv3d(
        torch.ones(1, 1, *size), torch.ones(1, 1, kernel, kernel, kernel), padding=kernel // 2
    )
    assert int(ones.sum()) == math.prod(taps_inside(side, kernel) for side in size)
