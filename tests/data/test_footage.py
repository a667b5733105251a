"""Clips cut from one file: where and when they lie, and that none holds what was held out or is damaged."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theodolite.data import footage, videos
from theodolite.data.footage import Wanted
from theodolite.kernel.errors import DataError


def counting(frames, height=16, width=24):
    """Frames that say their number, row and column in their three colours."""
    video = np.zeros((frames, height, width, 3), np.uint8)
    video[..., 0] = np.arange(frames)[:, None, None]
    video[..., 1] = np.arange(height)[None, :, None]
    video[..., 2] = np.arange(width)[None, None, :]
    return video


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    videos.write_video(path, counting(40), 10, lossless=True)
    return path


def wanted(path, **changed):
    usual = {"frames": 4, "height": 8, "width": 8, "native": True, "length": 40, "training": 30, "held_out": 2}
    return Wanted(path=str(path), sha256=footage.fingerprint(path), share="tail", **{**usual, **changed})


def test_clips_are_whole_pieces_of_the_film_at_many_places(film):
    made = footage.cut(wanted(film))
    assert made.training.shape == (30, 4, 8, 8, 3)
    whole = counting(40)
    corners = set()
    for clip in made.training:
        t, y, x = (int(number) for number in clip[0, 0, 0])
        np.testing.assert_array_equal(clip, whole[t : t + 4, y : y + 8, x : x + 8])
        corners.add((t, y, x))
    assert len(corners) == 30  # all different
    assert all(len({corner[axis] for corner in corners}) > 4 for axis in range(3))


def test_no_training_clip_shows_a_frame_that_is_held_out(film):
    made = footage.cut(wanted(film, training=10**6, height=16, width=24))
    trained, kept = (set(np.unique(clips[..., 0])) for clips in (made.training, made.held_out))
    assert trained == set(range(32))
    assert kept == {*range(32, 40)}
    assert made.held_out.shape == (2, 4, 16, 24, 3)
    assert len(made.training) == 29  # each frame at which one can begin, once


@pytest.mark.parametrize(("share", "training", "held_out"), [("all", 0, 10), ("none", 30, 0)])
def test_a_file_may_be_held_out_as_a_whole_or_not_at_all(film, share, training, held_out):
    made = footage.cut(Wanted(**{**vars(wanted(film, held_out=99)), "share": share}))
    assert (len(made.training), len(made.held_out)) == (training, held_out)


def test_the_same_content_gives_the_same_clips_under_any_name(film, tmp_path):
    other = tmp_path / "other.mkv"
    other.write_bytes(film.read_bytes())
    np.testing.assert_array_equal(footage.cut(wanted(film)).training, footage.cut(wanted(other)).training)


def test_fitted_frames_move_along_their_longer_side_only(film):
    made = footage.cut(wanted(film, native=False))
    assert made.training.shape == (30, 4, 8, 8, 3)
    # 16 rows became 8: the first row is the mean of rows 0 and 1, everywhere
    assert len(np.unique(made.training[:, :, 0, :, 1])) <= 2
    assert len(np.unique(made.training[:, :, :, 0, 2])) > 2


def test_a_frame_smaller_than_a_native_clip_is_refused(film):
    with pytest.raises(DataError, match=r"has frames of 24×16, smaller than a clip of 32×8; give crop=fitted"):
        footage.cut(wanted(film, width=32))


def test_fewer_frames_than_packets_move_the_tail(film):
    """As where a file is cut in half: the fifth is that of what is there."""
    made = footage.cut(wanted(film, length=60, held_out=5, training=10**6, height=16, width=24))
    assert set(np.unique(made.training[..., 0])) == set(range(32))
    assert len(made.held_out) == 2


def test_clips_with_damaged_frames_are_left_out_and_counted(film, monkeypatch):
    read = videos.read_frames

    def damaged(*given, seen, **named):
        for number, frame in enumerate(read(*given, seen=seen, **named)):
            if number == 10:
                seen.corrupt, seen.first_corrupt = 1, "10 (1.00 s)"
            yield frame

    monkeypatch.setattr(videos, "read_frames", damaged)
    made = footage.cut(wanted(film, training=10**6, height=16, width=24))
    assert not (made.training[..., 0] == 10).any()
    assert len(made.training) == 25
    assert made.warnings[-1] == "film.mkv: 4 clips that hold damaged or missing frames left out"
    assert any("1 of 40 frames are marked corrupt" in said for said in made.warnings)


@given(length=st.integers(0, 500), frames=st.integers(1, 60), share=st.sampled_from(["tail", "all", "none"]))
def test_what_is_trained_on_and_what_is_held_out_never_meet(length, frames, share):
    trained, kept = footage.split(length, frames, share)
    assert trained + kept * frames <= length
    assert kept * frames <= -(-length // 5) + frames or share == "all"
    assert footage.starts(length, frames, share) == sum(
        begin + frames <= trained for begin in itertools.islice(itertools.count(), length + 1)
    )


def test_a_file_that_cannot_be_read_is_said():
    with pytest.raises(DataError, match="cannot be read: No such file"):
        footage.fingerprint(Path("gone.mp4"))
