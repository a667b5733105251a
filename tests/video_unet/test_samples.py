import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from theodolite.data.clips import clip
from theodolite.data.videos import write_video
from theodolite.kernel.errors import DataError, UsageError
from theodolite.video_unet import samples as of_samples
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.samples import samples

REAL = Path(os.environ.get("THEODOLITE_VIDEOS", "../shared/data/clips"))
SMALL = {"frames": 4, "height": 12, "width": 16, "clips": 20, "held_out": 5}


@pytest.fixture
def folder(tmp_path):
    for number in range(2):
        frames = clip(0, number, 20, 12, 16)
        write_video(tmp_path / f"{number}.mkv", frames, 10, lossless=True)
    return tmp_path


def test_embedded_clips_are_drawn_by_id():
    found = samples(VideoUNetConfig(**SMALL))
    assert found.count == 20
    assert found.held_out.shape == (5, 4, 12, 16, 3)
    np.testing.assert_array_equal(found.draw([3, 7])[1], found.draw([7])[0])


def test_grey_clips_have_one_channel():
    found = samples(VideoUNetConfig(**SMALL, channels=1))
    assert found.held_out.shape == (5, 4, 12, 16, 1)
    with pytest.raises(UsageError, match="channels=2: clips have 3 colours, or 1 as grey"):
        samples(VideoUNetConfig(**SMALL, channels=2))


def test_of_every_file_the_last_fifth_is_held_out(folder):
    found = samples(VideoUNetConfig(**SMALL, data=str(folder)))
    assert found.count == 20
    assert found.draw(range(20)).shape == (20, 4, 12, 16, 3)
    for number in range(2):
        np.testing.assert_array_equal(found.held_out[number], clip(0, number, 20, 12, 16)[16:])


def test_clips_of_videos_are_the_same_every_time(folder):
    config = VideoUNetConfig(**SMALL, data=str(folder))
    first, second = samples(config), samples(config)
    np.testing.assert_array_equal(first.draw(range(20)), second.draw(range(20)))
    np.testing.assert_array_equal(first.draw([19, 3])[0], second.draw([19])[0])


def test_training_clips_are_pieces_of_the_first_four_fifths(folder):
    found = samples(VideoUNetConfig(**SMALL, data=str(folder)))
    films = [clip(0, number, 20, 12, 16)[:16] for number in range(2)]
    pieces = {film[begin : begin + 4].tobytes() for film in films for begin in range(13)}
    assert {each.tobytes() for each in found.draw(range(20))} <= pieces


def test_every_fifth_file_may_be_held_out_whole(folder):
    for number in range(2, 6):
        write_video(folder / f"{number}.mkv", clip(0, number, 20, 12, 16), 10, lossless=True)
    found = samples(VideoUNetConfig(**SMALL, data=str(folder), hold_out="files"))
    assert found.origin["held_out"] == "every 5th of 6 files, 5 clips"
    np.testing.assert_array_equal(found.held_out, clip(0, 4, 20, 12, 16).reshape(5, 4, 12, 16, 3))
    kept = {frame.tobytes() for frame in clip(0, 4, 20, 12, 16)}
    assert not kept & {frame.tobytes() for each in found.draw(range(found.count)) for frame in each}


def test_too_few_files_to_hold_one_out(folder):
    with pytest.raises(
        DataError, match="in 2 files, too few to hold two out; give 5 files at least, every 5th is held out"
    ):
        samples(VideoUNetConfig(**SMALL, data=str(folder), hold_out="files"))


def test_native_pixels_are_kept(folder):
    found = samples(VideoUNetConfig(**{**SMALL, "height": 6, "width": 6, "data": str(folder)}, crop="native"))
    films = [clip(0, number, 20, 12, 16) for number in range(2)]
    pieces = {
        film[t, y : y + 6, x : x + 6].tobytes()
        for film, t, y, x in itertools.product(films, range(20), range(7), range(11))
    }
    clips = [*found.draw(range(20)), *found.held_out]
    assert all(each[0].tobytes() in pieces for each in clips)


def test_a_bad_file_of_a_folder_is_left_out_and_said(folder):
    (folder / "bad.mp4").write_text("no video")
    (folder / "copy.mkv").write_bytes((folder / "0.mkv").read_bytes())
    found = samples(VideoUNetConfig(**SMALL, data=str(folder)))
    assert found.origin["held_out"] == "the last fifth of each of 2 files, 2 clips"
    assert found.warnings[0].startswith(f"left out: {folder}/bad.mp4 cannot be read as a video")
    assert found.warnings[1] == "copy.mkv has the content of 0.mkv; it was left out"


def test_a_bad_file_asked_for_by_itself_is_refused(tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    with pytest.raises(DataError, match="cannot be read as a video"):
        samples(VideoUNetConfig(**SMALL, data=str(tmp_path / "bad.mp4")))
    with pytest.raises(
        DataError, match=r"holds 0 whole clips of 4 frames in 0 files, too few to hold two out.*; left out: "
    ):
        samples(VideoUNetConfig(**SMALL, data=str(tmp_path)))


def test_a_video_that_ends_early_gives_the_clips_it_has(folder):
    content = (folder / "0.mkv").read_bytes()
    (folder / "0.mkv").write_bytes(content[: len(content) * 2 // 3])
    found = samples(VideoUNetConfig(**SMALL, data=str(folder)))
    assert any(said.startswith("0.mkv seems cut short") for said in found.warnings)
    whole = clip(0, 0, 20, 12, 16)
    assert any((found.held_out[0] == whole[begin : begin + 4]).all() for begin in range(16))


def test_clips_beyond_the_memory_budget_are_not_cut_and_that_is_said(folder, monkeypatch):
    monkeypatch.setattr(of_samples, "BYTES_HELD", 7 * 4 * 12 * 16 * 3)
    found = samples(VideoUNetConfig(**SMALL, data=str(folder)))
    assert found.count == 7
    assert "7 training clips are cut of 20: 0 GiB hold no more" in found.warnings


@pytest.mark.skipif(not REAL.is_dir(), reason="no folder of real videos; name one in THEODOLITE_VIDEOS")
def test_clips_of_real_videos():
    found = samples(VideoUNetConfig(data=str(REAL)))
    assert found.count > 1000
    assert found.draw(range(0, found.count, 100)).std(axis=(1, 2, 3, 4)).mean() > 10


def test_the_hash_follows_the_content(folder):
    config = VideoUNetConfig(**SMALL, data=str(folder))
    before = samples(config).origin["sha256"]
    assert samples(config).origin["sha256"] == before
    write_video(folder / "1.mkv", clip(0, 9, 20, 12, 16), 10, lossless=True)
    assert samples(config).origin["sha256"] != before


def test_no_more_of_a_video_is_read_than_its_clips_are_worth(folder):
    config = VideoUNetConfig(**{**SMALL, "clips": 2, "data": str(folder / "0.mkv")})
    long = clip(0, 0, 90, 12, 16)
    write_video(folder / "0.mkv", long, 10, lossless=True)
    found = samples(config)
    assert found.count == 2
    assert found.warnings == ("0.mkv: only the first 40 frames were read, as the budget allows",)
    np.testing.assert_array_equal(found.held_out[-1], long[36:40])


def test_videos_that_are_too_short_are_refused(folder):
    with pytest.raises(
        DataError, match="holds 2 whole clips of 15 frames in 2 files, too few to hold two out; give 6 clips"
    ):
        samples(VideoUNetConfig(**{**SMALL, "frames": 15, "data": str(folder)}))


def test_a_missing_path_is_refused():
    with pytest.raises(DataError, match="no video or folder at nowhere"):
        samples(VideoUNetConfig(**SMALL, data="nowhere"))
