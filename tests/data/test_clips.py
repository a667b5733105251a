"""Embedded clips: functions of (seed, sample id), and two halves that share nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerances import assert_identity

from theodolite.data.clips import TRAINING_COLUMNS, clip, clips, digit_numbers, photo_region
from theodolite.data.digits import digits
from theodolite.data.photos import photos


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**40), st.booleans())
def test_any_size_and_any_id_has_a_clip(frames, height, width, sample_id, held_out):
    made = clip(0, sample_id, frames, height, width, held_out=held_out)
    assert made.shape == (frames, height, width, 3)
    assert made.dtype == np.uint8


def test_a_clip_does_not_depend_on_what_was_drawn_before():
    together = clips(3, [5, 1, 9], 4, 16, 20)
    np.testing.assert_array_equal(together[1], clip(3, 1, 4, 16, 20))
    assert not np.array_equal(clip(3, 1, 4, 16, 20), clip(4, 1, 4, 16, 20))
    assert not np.array_equal(clip(3, 1, 4, 16, 20), clip(3, 2, 4, 16, 20))
    assert clips(0, [], 2, 3, 4).shape == (0, 2, 3, 4, 3)


def test_training_and_held_out_share_no_digit_and_no_piece_of_photograph():
    training, held_out = set(digit_numbers(False)), set(digit_numbers(True))
    assert not training & held_out
    assert len(training | held_out) == len(digits()[0])
    for number, photo in enumerate(photos()):
        left, right = photo_region(number, False), photo_region(number, True)
        assert_identity(np.concatenate([left, right], axis=1), photo)
        assert left.shape[1] == TRAINING_COLUMNS


def test_a_reduced_photograph_is_the_mean_of_its_blocks():
    whole, half = photo_region(0, False), photo_region(0, False, 2)
    assert half.shape == (213, 176, 3)
    assert_identity(half[10, 20], whole[20:22, 40:42].mean(axis=(0, 1)))


def test_a_larger_clip_than_the_photographs_is_mirrored():
    assert clip(0, 0, 1, 500, 700).shape == (1, 500, 700, 3)


def test_what_is_seen_moves():
    made = clips(0, range(8), 10, 32, 32).astype(float)
    assert (np.abs(np.diff(made, axis=1)).mean(axis=(1, 2, 3, 4)) > 0).all()
    # and moves little from frame to frame: a clip is no list of unrelated pictures
    step = np.abs(np.diff(made, axis=1)).mean()
    assert step < np.abs(made - made[::-1]).mean() / 2


@pytest.mark.parametrize("held_out", [False, True])
def test_digits_are_in_front(held_out):
    seen = [clip(0, number, 1, 32, 32, held_out=held_out).astype(int) for number in range(12)]
    saturation = [np.ptp(each, axis=-1).max() for each in seen]
    assert np.median(saturation) > 60
