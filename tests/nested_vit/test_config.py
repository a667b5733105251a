import pytest

from theodolite.kernel.errors import UsageError
from theodolite.nested_vit.config import NestedViTConfig, NestedViTTraining


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": 5}, "heads=5 must divide width=64; the nearest widths are 60 and 80"),
        ({"width": 66, "heads": 3}, "width=66 must be a multiple of 4"),
        ({"size": 60}, "a window of 8 patches of 8 px is larger than size=60; give window ≤ 7"),
        ({"digits_share": 0.7, "twins_share": 0.4}, "make more than 1"),
        ({"patch": 0}, "patch=0"),
        ({"size": 31}, "size=31"),
        ({"target": "boxes"}, "target='boxes'"),
        ({"windows": 3}, "unknown setting 'windows'"),
        ({"memory": "four"}, "memory='four' should be bytes, as in 4GiB or 500MB"),
        ({"memory": "4XiB"}, "memory='4XiB' should be bytes"),
        ({"memory": "100 kB"}, "memory='100 kB' must be greater than or equal to 1048576"),
        ({"gradients": "chunked"}, "gradients='chunked'"),
        ({"dropout": 1.0}, "dropout=1.0 must be less than 1"),
        ({"channels": 0}, "channels=0"),
        ({"classes": 0}, "classes=0"),
        ({"data": ""}, "data=''"),
        ({"data": "photos", "size": 128}, "size=128 is a setting of the twins"),
        ({"data": "photos", "twins_share": 0.2}, "leave --twins-share out"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(fields, message):
    with pytest.raises(UsageError, match=message) as caught:
        NestedViTConfig.build(**fields)
    assert "\n" not in str(caught.value)


def test_defaults_are_the_clean_task_and_the_papers_image_is_shown():
    config = NestedViTConfig()
    assert (config.size, config.patch, config.show_size) == (256, 8, 4096)
    assert config.size // (config.patch * config.window) == 4  # a window is a digit's cell


def test_outputs_follow_the_target():
    assert NestedViTConfig(patch=4).outputs == 16
    assert NestedViTConfig(target="label").outputs == 6
    assert NestedViTConfig(target="label", classes=1000).outputs == 1000
    assert NestedViTConfig(patch=2, classes=5).outputs == 20


@pytest.mark.parametrize(
    ("said", "meant"), [("4GiB", 2**32), ("1.5 MiB", 3 * 2**19), ("500MB", 5e8), ("3000000", 3e6), (2**30, 2**30)]
)
def test_memory_is_said_as_people_do(said, meant):
    assert NestedViTConfig(memory=said).memory == meant
    assert NestedViTConfig(**NestedViTConfig(memory=said).model_dump(mode="json")).memory == meant


def test_own_images_may_have_windows_larger_than_a_canvas():
    config = NestedViTConfig(data="photos", patch=16, window=32)
    assert config.own_images
    assert not NestedViTConfig().own_images


def test_training_overrides_defaults_only():
    assert NestedViTTraining().batch_size == 8
