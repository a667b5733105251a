import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerances import assert_identity

from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.corruption import hidden_by_turns
from theodolite.video_unet.restoration import copies, left_out_in_turn, rebuilt, restored
from theodolite.video_unet.restored import interpolated


def config(corruption, **fields):
    return VideoUNetConfig(**{"frames": 5, "height": 12, "width": 10, "corruption": corruption, **fields})


def halved(clip):
    return clip / 2


def test_without_corruption_the_output_is_the_clip():
    clip = torch.rand(2, 3, 5, 12, 10)
    assert torch.equal(restored(config("none"), halved, clip, None), clip / 2)
    assert torch.equal(rebuilt(config("none"), halved, clip[:1]), clip[:1] / 2)


def test_otherwise_it_is_added_to_what_was_given_and_the_visible_stays():
    clip = torch.rand(2, 3, 5, 12, 10)
    hidden = torch.rand(2, 5, 12, 10) < 0.5
    made = restored(config("masked"), halved, clip, hidden)
    assert torch.equal(made.movedim(1, -1)[hidden], 1.5 * clip.movedim(1, -1)[hidden])
    assert torch.equal(made.movedim(1, -1)[~hidden], clip.movedim(1, -1)[~hidden])
    assert torch.equal(restored(config("noise"), halved, clip, None), 1.5 * clip)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["masked", "blocks"]), st.sampled_from([0.1, 0.3, 0.5]), st.lists(st.integers(1, 5), min_size=1))
def test_a_video_in_chunks_is_filled_in_as_the_whole(corruption, level, lengths):
    settings, (top, left) = config(corruption, corruption_level=level), (3, 5)
    video = torch.from_numpy(np.random.default_rng(0).random((1, 3, sum(lengths), 9, 8)))
    found = list(left_out_in_turn(settings, video.split(lengths, dim=2), (top, left)))
    given, hidden = (
        torch.cat(parts, dim=axis).numpy() for parts, axis in zip(zip(*found, strict=True), (2, 1), strict=True)
    )
    expected = hidden_by_turns(settings, range(sum(lengths)), range(top, top + 9), range(left, left + 8))
    np.testing.assert_array_equal(hidden, expected)
    clips = np.repeat(video.movedim(1, -1).numpy(), copies(settings), axis=0)
    whole = interpolated(clips, hidden)
    inside = ~hidden.all(axis=1, keepdims=True).repeat(sum(lengths), axis=1)  # else: the mean of what was there so far
    assert_identity(np.moveaxis(given, 1, -1)[inside], whole[inside])


@pytest.mark.parametrize("corruption", ["masked", "blocks"])
def test_what_is_rebuilt_was_not_seen(corruption):
    """A network that adds nothing rebuilds each place by interpolation between others: its own value plays no part."""
    clip = torch.rand(1, 3, 6, 12, 10)
    made = rebuilt(config(corruption), torch.zeros_like, clip)
    assert made.shape == clip.shape
    changed = clip.clone()
    changed[:, :, 3, 5, 5] += 1
    assert torch.equal(rebuilt(config(corruption), torch.zeros_like, changed)[:, :, 3, 5, 5], made[:, :, 3, 5, 5])
    if corruption == "masked":
        torch.testing.assert_close(made[:, :, 3], (clip[:, :, 2] + clip[:, :, 4]) / 2)


def test_of_a_single_frame_nothing_is_known():
    assert (rebuilt(config("masked"), torch.zeros_like, torch.rand(1, 3, 1, 4, 4)) == 0.5).all()
