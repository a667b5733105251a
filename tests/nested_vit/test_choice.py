import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theodolite.kernel.errors import ResourceError
from theodolite.nested_vit.choice import LARGEST_CHUNK, MODES, MOST_RECOMPUTED, choose
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.costs import Costs

MIB = 2**20


def test_without_a_bound_it_is_ordinary_autograd():
    choice = choose(NestedViTConfig(), 256)
    assert (choice.mode, choice.times, choice.why) == ("ordinary", 1, "no memory bound is set")


@pytest.mark.parametrize(
    ("fields", "memory", "mode"),
    [
        ({}, "8GiB", "ordinary"),
        ({}, "512MiB", "stored"),  # recomputing costs 2.23 times
        ({"target": "label"}, "512MiB", "recomputed"),
        ({"target": "label", "stages": 6}, "512MiB", "stored"),
    ],
)
def test_what_fits_4096_pixels_with_the_least_work(fields, memory, mode):
    choice = choose(NestedViTConfig(**fields, memory=memory), 4096)
    assert choice.mode == mode
    assert choice.peak <= NestedViTConfig(memory=memory).memory
    assert (choice.files > 0) == (mode == "stored")


@pytest.mark.parametrize("stages", [3, 4, 6])
@pytest.mark.parametrize("target", ["dense", "label"])
def test_stored_boundaries_cost_four_thirds(stages, target):
    """At the width and the windows that the requirements name."""
    config = NestedViTConfig(width=192, window=16, stages=stages, global_blocks=1, target=target, gradients="stored")
    assert 1.3 < choose(config, 4096).times < 1.4


def test_a_step_at_4096_pixels_fits_a_gibibyte():
    config = NestedViTConfig(width=192, window=16, stages=6, global_blocks=1, memory="1GiB")
    choice = choose(config, 4096)
    assert choice.mode == "stored"
    assert choice.chunk >= 8


@settings(deadline=None)
@given(
    memory=st.integers(20 * MIB, 4096 * MIB),
    side=st.integers(1, 3000),
    batch=st.integers(1, 4),
    stages=st.integers(1, 4),
    target=st.sampled_from(["dense", "label"]),
)
def test_a_choice_keeps_its_budget_and_nothing_cheaper_would(memory, side, batch, stages, target):
    config = NestedViTConfig(memory=memory, stages=stages, target=target)
    try:
        choice = choose(config, side, batch=batch)
    except ResourceError:
        costs = Costs(config, side, None, batch)
        assert all(costs.peak(mode, 1) > memory for mode in MODES)
        return
    assert choice.peak <= memory
    assert choice.chunk <= LARGEST_CHUNK
    costs = Costs(config, side, None, batch)
    cheaper = [mode for mode in MODES if costs.flops(mode) < choice.flops and costs.peak(mode, 1) <= memory]
    assert not cheaper or (choice.mode == "recomputed" and choice.times <= MOST_RECOMPUTED)


@pytest.mark.parametrize("mode", MODES)
def test_settings_are_obeyed(mode):
    choice = choose(NestedViTConfig(gradients=mode, chunk=5), 1024)
    assert (choice.mode, choice.chunk) == (mode, 5)
    with pytest.raises(ResourceError, match=f"{mode}, 5 windows at a time"):
        choose(NestedViTConfig(gradients=mode, chunk=5, memory="2MiB"), 1024)


def test_a_smaller_budget_takes_smaller_chunks():
    chunks = [choose(NestedViTConfig(memory=f"{mib}MiB"), 2048).chunk for mib in (90, 60, 45)]
    assert chunks == sorted(chunks, reverse=True)
    assert chunks[0] > chunks[-1]
