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
        ({"kernel": 4}, "kernel=4 must be odd; the nearest are 3 and 5"),
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
