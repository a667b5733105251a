import numpy as np
import pytest

from theodolite.data.clips import clip
from theodolite.data.videos import write_video
from theodolite.kernel.errors import DataError, UsageError
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.samples import samples

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
    assert found.count == 8
    training = found.draw(range(8))
    for number in range(2):
        whole = clip(0, number, 20, 12, 16)
        np.testing.assert_array_equal(training[4 * number : 4 * number + 4], whole[:16].reshape(4, 4, 12, 16, 3))
        np.testing.assert_array_equal(found.held_out[number], whole[16:])


def test_the_hash_follows_the_content(folder):
    config = VideoUNetConfig(**SMALL, data=str(folder))
    before = samples(config).origin["sha256"]
    assert samples(config).origin["sha256"] == before
    write_video(folder / "1.mkv", clip(0, 9, 20, 12, 16), 10, lossless=True)
    assert samples(config).origin["sha256"] != before


def test_no_more_clips_are_read_than_asked_for(folder):
    config = VideoUNetConfig(**{**SMALL, "clips": 4, "data": str(folder)})
    found = samples(config)
    assert found.count <= 4
    assert any("as the budget allows" in warning for warning in found.warnings)


def test_videos_that_are_too_short_are_refused(folder):
    with pytest.raises(DataError, match="holds 2 whole clips of 15 frames, too few to hold two out"):
        samples(VideoUNetConfig(**{**SMALL, "frames": 15, "data": str(folder)}))


def test_a_missing_path_is_refused():
    with pytest.raises(DataError, match="no video or folder at nowhere"):
        samples(VideoUNetConfig(**SMALL, data="nowhere"))
