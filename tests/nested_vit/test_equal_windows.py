"""Equal windows computed once change nothing; skipping empty ones is one function in every mode."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nested_vit.small import built, configured
from tests.nested_vit.test_gradients import TINY, assert_same, problem
from tests.tolerances import assert_identity

from theodolite.nested_vit import model
from theodolite.nested_vit.windows import Windows, alike

MODES = ["ordinary", "recomputed", "stored"]


def spotted(batch, channels, height, width, seed=0):
    """Images of one colour with a few spots: many windows are equal, some of them at the edge."""
    generator = torch.Generator().manual_seed(seed)
    spots = torch.rand(batch, 1, height, width, generator=generator) < 0.02
    return torch.where(spots, torch.rand(batch, channels, height, width, generator=generator), 0.25).double()


def all_apart(tiles, seen):
    return torch.arange(len(tiles)), torch.arange(len(tiles))


@settings(max_examples=30)
@given(st.integers(1, 2), st.integers(1, 23), st.integers(1, 23), st.integers(0, 5))
def test_logits_are_those_of_every_window_computed(batch, height, width, seed):
    network, images = built(configured(**TINY, stages=2)), spotted(batch, 3, height, width, seed)
    found = network(images)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(model, "alike", all_apart)
        assert_identity(found.detach(), network(images).detach())


def test_equal_windows_are_computed_once_and_only_in_the_first_stage(monkeypatch):
    network, computed = built(configured(**TINY, stages=2)), []
    within = network.within
    monkeypatch.setattr(
        network,
        "within",
        lambda stage, patches, *rest: computed.append((stage, len(patches))) or within(stage, patches, *rest),
    )
    images = torch.full((1, 3, 15, 16), 0.5, dtype=torch.float64)
    images[0, :, 5, 5] = 1
    network(images)
    # the one with the spot; those like it else, whole; those that the lower edge cuts look padded, but all are seen
    assert computed == [(0, 3), (1, 16)]
    computed.clear()
    network(images[:, :, :13])
    assert computed == [(0, 3), (1, 16)]


@settings(max_examples=30)
@given(
    target=st.sampled_from(["dense", "label"]),
    stages=st.integers(1, 3),
    skip=st.booleans(),
    dropout=st.sampled_from([0.0, 0.3]),
    height=st.integers(1, 23),
    width=st.integers(1, 23),
    mode=st.sampled_from(MODES[1:]),
    chunk=st.integers(1, 40),
)
def test_gradients_by_chunks_are_those_of_ordinary_autograd(target, stages, skip, dropout, height, width, mode, chunk):
    torch.manual_seed(0)
    config = configured(**TINY, target=target, stages=stages, skip_empty=skip, dropout=dropout)
    network, _, objective = problem(config, 2, height, width)
    draws = model.Draws(7, 3, torch.tensor([5, 9]))
    assert_same(network, spotted(2, config.channels, height, width), objective, mode, chunk, draws)


@pytest.mark.parametrize("mode", MODES[1:])
def test_gradients_are_those_of_every_window_computed(mode, monkeypatch):
    network, _, objective = problem(configured(**TINY), 2, 13, 18)
    images = spotted(2, 3, 13, 18)
    merged = model.alike

    def apart_in_ordinary_mode(tiles, seen):
        return all_apart(tiles, seen) if len(tiles) > 7 else merged(tiles, seen)

    monkeypatch.setattr(model, "alike", apart_in_ordinary_mode)
    assert_same(network, images, objective, mode, 7)


def test_pixels_of_equal_windows_have_each_their_own_gradient():
    network = built(configured(**TINY))
    images = torch.full((1, 3, 8, 8), 0.5, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(1, 1, 8, 8, dtype=torch.float64)
    (network(images) * weights).sum().backward()
    step = torch.zeros_like(images)
    step[0, 1, 6, 6] = 1e-5
    with torch.no_grad():
        slope = ((network(images + step) - network(images - step)) * weights).sum() / 2e-5
    torch.testing.assert_close(images.grad[0, 1, 6, 6], slope, rtol=1e-6, atol=0)


def test_bytes_and_what_is_seen_decide_who_is_alike():
    tiles = torch.tensor([0.0, 0.0, -0.0, 1.0, 0.0]).reshape(5, 1, 1, 1)
    seen = torch.tensor([[True, True]] * 4 + [[True, False]])
    assert alike(tiles, None)[0].tolist() == [0, 0, 1, 2, 0]
    group, first = alike(tiles, seen)
    assert group.tolist() == [0, 0, 1, 2, 3]
    assert first.tolist() == [0, 2, 3, 4]
    assert alike(tiles.bfloat16(), None)[0].tolist() == [0, 0, 1, 2, 0]


def test_empty_windows_have_one_colour_in_all_that_lies_in_the_image():
    images = torch.zeros(2, 3, 7, 10, dtype=torch.uint8)
    images[0, 1] = 9  # another colour, not another shade
    images[1, 2, 6, 9] = 1
    windows = Windows(images, 4)
    assert windows.empty(windows.all).tolist() == [True] * 11 + [False]
    assert windows.empty(slice(10, 12)).tolist() == [True, False]


def test_what_has_no_empty_window_is_not_changed_by_skipping():
    config = configured(**TINY, stages=3)
    network, skipping = built(config), built(config.model_copy(update={"skip_empty": True}))
    noise = torch.rand(1, 3, 12, 12, dtype=torch.float64)
    assert torch.equal(network(noise), skipping(noise))
    assert not torch.equal(network(torch.zeros_like(noise)), skipping(torch.zeros_like(noise)))
