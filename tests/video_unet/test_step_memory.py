"""The planned peak of a training step against what torch's allocator really held."""

import pytest

from theodolite.video_unet import probes
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.plan import plan
from theodolite.video_unet.step_memory import CLIPS, LEAST, TOLERANCE, peak_bytes, predicted_peak

LARGE = {"frames": 24, "height": 96, "width": 96, "base": 16}


def agree(config):
    predicted, measured = peak_bytes(config, CLIPS), probes.peak_bytes(config, CLIPS)
    assert abs(predicted - measured) <= TOLERANCE * measured, f"{predicted / measured:.3f} of what was measured"


@pytest.mark.parametrize(
    "fields",
    [
        {"stages": 1, "base": 32},
        {"stages": 2, "convs_per_stage": 1, "base": 16},
        {"stages": 2, "base": 16, "up": "resize"},
        {"stages": 2, "base": 16, "skips": False},
    ],
)
def test_of_small_clips_the_peak_is_that_of_the_allocator(fields):
    agree(VideoUNetConfig(frames=8, height=48, width=48, **fields))


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"skips": False},
        {"convs_per_stage": 1},
        {"convs_per_stage": 3},
        {"stages": 4},
        {"rounding": "down"},
        {"base": 32},
    ],
)
def test_above_a_quarter_of_a_gibibyte_the_default_family_peaks_as_planned(fields):
    config = VideoUNetConfig(**{**LARGE, **fields})
    assert peak_bytes(config, CLIPS) >= LEAST
    agree(config)


def test_the_peak_grows_with_the_clip_and_with_the_batch():
    small, large = VideoUNetConfig(**LARGE), VideoUNetConfig(**{**LARGE, "frames": 48})
    assert peak_bytes(large, 2) > 1.8 * peak_bytes(small, 2)
    assert peak_bytes(small, 4) > 1.8 * peak_bytes(small, 2)


def test_it_is_predicted_where_it_can_be_measured():
    small = VideoUNetConfig(clips=4, held_out=2)
    assert predicted_peak(small) is None
    assert not any(each.name == "peak_bytes" for each in plan(small).predictions)
    large = VideoUNetConfig(**LARGE, clips=4, held_out=2, channels=3)
    told = next(each for each in plan(large).predictions if each.name == "peak_bytes")
    assert told.claim == "estimate"
    assert told.value == predicted_peak(large)
