import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerances import assert_identity, assert_sampling

from theodolite.engine.task import Part
from theodolite.theory.interpolation import interpolation_error
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.corruption import (
    BLOCK,
    cells,
    hidden_by_turns,
    hidden_cells,
    hidden_pixels,
    shown,
    turns,
)
from theodolite.video_unet.cosine_code import along_every_axis, cosines
from theodolite.video_unet.restored import filtered, interpolated
from theodolite.video_unet.train import corrupted
from theodolite.video_unet.trained import hidden_psnr


def config(corruption, **fields):
    return VideoUNetConfig(**{"frames": 5, "height": 12, "width": 10, "corruption": corruption, **fields})


def part(ids, step=3, seed=0):
    return Part(step, 10, torch.tensor(ids), torch.device("cpu"), seed)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.integers(1, 20), st.integers(1, 20), st.sampled_from(["masked", "blocks"]), st.data())
def test_the_share_asked_for_is_hidden_cell_by_cell(frames, height, width, corruption, data):
    level = data.draw(st.floats(0.01, 0.99))
    settings = config(corruption, frames=frames, height=height, width=width, corruption_level=level)
    count = int(np.prod(cells(settings)))
    if count == 1:
        return
    hidden = hidden_pixels(settings, np.random.default_rng(0).random((3, count)))
    assert hidden.shape == (3, frames, height, width)
    block = (1, height, width) if corruption == "masked" else BLOCK
    for clip in hidden:
        corners = clip[:: block[0], :: block[1], :: block[2]]
        assert corners.shape == cells(settings)
        assert corners.sum() == hidden_cells(settings)
        assert 0 < corners.sum() < count
        assert abs(corners.sum() - level * count) <= 1
        for t, y, x in itertools.product(range(frames), range(height), range(width)):
            assert clip[t, y, x] == corners[t // block[0], y // block[1], x // block[2]]


def test_every_frame_is_hidden_as_often():
    hidden = hidden_pixels(config("masked"), np.random.default_rng(0).random((2000, 5)))[:, :, 0, 0]
    for frame in range(5):
        assert_sampling(hidden[:, frame], 2 / 5)


@pytest.mark.parametrize("corruption", ["masked", "blocks", "noise"])
def test_a_sample_s_draw_depends_on_nothing_but_seed_step_and_sample(corruption):
    clips = torch.rand(4, 3, 5, 12, 10)

    def given(which, *draw, **drawn):
        return corrupted(config(corruption), clips[which], part(*draw, **drawn))[0]

    whole = given(slice(4), [7, 1, 5, 2])
    assert torch.equal(whole, torch.cat([given(slice(2), [7, 1]), given(slice(2, 4), [5, 2])]))
    assert not torch.equal(whole, given(slice(4), [7, 1, 5, 2], step=4))
    assert not torch.equal(whole, given(slice(4), [7, 1, 5, 2], seed=1))
    assert not torch.equal(whole, clips)


@pytest.mark.parametrize("corruption", ["masked", "blocks"])
def test_training_and_held_out_clips_are_filled_in_alike(corruption):
    clips = torch.rand(2, 3, 5, 12, 10, dtype=torch.float64)
    given, hidden = corrupted(config(corruption), clips, part([0, 1]))
    pixels = clips.movedim(1, -1).numpy()
    assert torch.equal(given.movedim(1, -1)[~hidden], clips.movedim(1, -1)[~hidden])
    errors = hidden_psnr(pixels, given.movedim(1, -1).numpy(), hidden.numpy())
    assert_identity(errors, -10 * np.log10(interpolation_error(pixels, hidden.numpy())))


@pytest.mark.parametrize("level", [0.1, 0.2, 0.34, 0.5, 0.9])
@pytest.mark.parametrize("corruption", ["masked", "blocks"])
def test_in_turn_every_cell_is_hidden_once_and_its_neighbours_in_time_are_visible_then(corruption, level):
    settings = config(corruption, corruption_level=level)
    hidden = hidden_by_turns(settings, range(7), range(12), range(10))
    assert hidden.shape == (turns(settings), 7, 12, 10)
    np.testing.assert_array_equal(hidden.sum(axis=0), 1)
    span = 1 if corruption == "masked" else BLOCK[0]
    assert not (hidden[:, span:] & hidden[:, :-span]).any()
    assert turns(settings) == max(2, int(np.prod(cells(settings))) // hidden_cells(settings))
    piece = hidden_by_turns(settings, range(3, 7), range(9, 12), range(8, 10))
    np.testing.assert_array_equal(piece, hidden[:, 3:, 9:, 8:])


def test_noise_has_the_deviation_asked_for():
    clips = torch.zeros(2, 3, 5, 12, 10)
    noise = corrupted(config("noise", corruption_level=0.25), clips, part([0, 1]))[0].numpy().ravel()
    assert_sampling(noise**2, 0.0625)
    held_out = shown(config("noise", corruption_level=0.25), np.zeros((2, 5, 12, 10, 3))).given.ravel()
    assert_sampling(held_out**2, 0.0625)


def test_without_corruption_all_is_shown_as_it_is():
    clips = torch.rand(2, 3, 5, 12, 10)
    given, hidden = corrupted(config("none"), clips, part([0, 1]))
    assert given is clips
    assert hidden is None
    assert shown(config("none"), clips.numpy()).hidden is None


@pytest.mark.parametrize("corruption", ["masked", "blocks", "noise"])
def test_held_out_clips_are_shown_alike_whatever_their_number(corruption):
    clips = np.random.default_rng(0).random((4, 5, 12, 10, 3))
    few, many = shown(config(corruption), clips[:2]), shown(config(corruption), clips)
    np.testing.assert_array_equal(few.given, many.given[:2])


@pytest.mark.parametrize("corruption", ["masked", "blocks"])
def test_interpolation_carried_out_errs_as_the_theory_says(corruption):
    clips = np.random.default_rng(0).random((6, 5, 12, 10, 3))
    seen = shown(config(corruption), clips)
    made = interpolated(np.where(seen.hidden[..., None], 7.0, clips), seen.hidden)  # what is hidden is not read
    np.testing.assert_array_equal(seen.given, made)
    np.testing.assert_array_equal(made[~seen.hidden], clips[~seen.hidden])
    assert_identity(hidden_psnr(clips, made, seen.hidden), -10 * np.log10(interpolation_error(clips, seen.hidden)))


def test_the_filter_shrinks_each_coefficient_by_itself():
    random = np.random.default_rng(0)
    fit, given = random.random((2, 6, 3, 4, 5, 2))
    bases = [cosines(side) for side in (3, 4, 5, 2)]
    before, after = (along_every_axis(x, bases) for x in (given, filtered(fit, given, 0.2)))
    energy = np.mean(along_every_axis(fit, bases) ** 2, axis=0)
    assert_identity(after, before * (energy / (energy + 0.04)))
