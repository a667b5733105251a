import pytest
from tests.tolerances import assert_identity

from theodolite.kernel.errors import UsageError
from theodolite.video_unet.config import VideoUNetConfig


def test_the_defaults_are_those_of_the_question():
    config = VideoUNetConfig()
    assert (config.frames, config.height, config.width, config.channels) == (10, 32, 32, 3)
    assert config.stages > 2
    assert_identity(config.temporal_weight, 0.5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernel": 4}, "kernel=4 must be odd and 1 to 15; the nearest are 3 and 5"),
        ({"kernel": 17}, "kernel=17 must be odd and 1 to 15"),
        ({"kernel": "1,3,4"}, "kernel=1,3,4 must be odd and 1 to 15; the nearest are 3 and 5"),
        ({"kernel": (1, 3)}, r"kernel=\(1, 3\) must be one whole number, or three for frames, rows and columns"),
        ({"kernel": "wide"}, "kernel='wide' must be one whole number, or three for frames, rows and columns"),
        ({"kernel": 2.5}, "kernel=2.5 must be one whole number"),
        ({"kernel": True}, "kernel=True must be one whole number"),
        ({"pool": 0}, "pool=0 must be 1 to 8 along every axis"),
        ({"pool": [1, 9, 2]}, "pool=1,9,2 must be 1 to 8 along every axis"),
        (
            {"pool": (4, 1, 1), "rounding": "down"},
            "frames=10 is pooled away by 3 stages that round down; give at least 64",
        ),
        ({"up": "unpool"}, "up='unpool'"),
        ({"frames": 7, "rounding": "down"}, "frames=7 is pooled away by 3 stages that round down; give at least 8"),
        ({"stages": 0}, "stages=0"),
        ({"depth": 3}, "unknown setting 'depth'"),
        ({"loss": "perceptual"}, "loss='perceptual'"),
        ({"corruption_level": 0.3}, "corruption_level=0.3 needs corruption=masked, blocks or noise"),
        (
            {"corruption": "blocks", "corruption_level": 1},
            "corruption_level=1.0 hides all of a clip; give a share",
        ),
        (
            {"corruption": "masked", "frames": 1},
            "corruption=masked fills in from other frames; give frames",
        ),
        ({"corruption": "noise", "corruption_level": 0}, "corruption_level=0 must be greater than 0"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(fields, message):
    with pytest.raises(UsageError, match=message) as refusal:
        VideoUNetConfig.build(**fields)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("given", ["1,3,5", "1x3x5", "[1, 3, 5]", [1, 3, 5], (1, 3, 5)])
def test_sides_are_read_however_they_are_written(given):
    config = VideoUNetConfig(kernel=given)
    assert (config.kernel, config.kernels) == ("1,3,5", (1, 3, 5))
    assert VideoUNetConfig.model_validate_json(config.model_dump_json()) == config


def test_one_side_stands_for_three():
    config = VideoUNetConfig(kernel="5", pool=3, stages=2)
    assert (config.kernels, config.pools, config.cell) == ((5, 5, 5), (3, 3, 3), (9, 9, 9))
    assert VideoUNetConfig(pool=(1, 2, 2)).cell == (1, 8, 8)


def test_the_level_of_corruption_has_a_usual_value_for_each_kind():
    levels = [VideoUNetConfig(corruption=kind).level for kind in ("none", "masked", "blocks", "noise")]
    assert_identity(levels, [0.0, 0.5, 0.5, 0.1])
    assert_identity(VideoUNetConfig(corruption="masked", corruption_level=0.2).level, 0.2)


def test_the_twin_differs_in_its_skips_alone():
    config = VideoUNetConfig()
    assert list(config.networks) == ["with_skips", "without_skips"]
    assert config.networks["without_skips"] == config.model_copy(update={"skips": False})
    assert list(VideoUNetConfig(skips=False).networks) == ["without_skips", "with_skips"]
    assert list(VideoUNetConfig(skips=False, compare_skips=False).networks) == ["without_skips"]
