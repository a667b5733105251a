import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerances import assert_identity

from theodolite.theory.interpolation import interpolation_error


def slow_error(clip, hidden):
    """Place by place with NumPy's own interpolation."""
    colour = clip[~hidden].mean(axis=0)
    squares = []
    for y, x in np.ndindex(hidden.shape[1:]):
        visible = np.flatnonzero(~hidden[:, y, x])
        for t in np.flatnonzero(hidden[:, y, x]):
            for c in range(clip.shape[-1]):
                filled = np.interp(t, visible, clip[visible, y, x, c]) if len(visible) else colour[c]
                squares.append((filled - clip[t, y, x, c]) ** 2)
    return np.mean(squares)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 7), st.integers(1, 4), st.sampled_from([1, 3]), st.integers(0, 1000))
def test_it_is_that_of_a_slow_loop(frames, side, channels, seed):
    random = np.random.default_rng(seed)
    clips = random.random((2, frames, side, 3, channels))
    hidden = random.random(clips.shape[:-1]) < 0.6
    hidden[:, 0, 0, 0], hidden[:, -1, -1, -1] = False, True
    slow = [slow_error(clip, where) for clip, where in zip(clips, hidden, strict=True)]
    assert_identity(interpolation_error(clips, hidden), slow)


def test_what_moves_in_a_straight_line_is_filled_in_without_error():
    t = np.arange(6.0)[None, :, None, None, None]
    clips = 0.1 * t * np.ones((1, 6, 2, 2, 3))
    hidden = np.zeros((1, 6, 2, 2), dtype=bool)
    hidden[:, [1, 2, 4]] = True
    assert_identity(interpolation_error(clips, hidden), [0.0])


@pytest.mark.parametrize("at", [0, 5])
def test_at_an_end_the_nearest_visible_frame_is_repeated(at):
    clips = np.random.default_rng(0).random((1, 6, 2, 2, 1))
    hidden = np.zeros((1, 6, 2, 2), dtype=bool)
    hidden[:, at] = True
    nearest = 1 if at == 0 else 4
    assert_identity(interpolation_error(clips, hidden), [np.mean((clips[0, at] - clips[0, nearest]) ** 2)])
