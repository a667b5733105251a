import os

import pytest
from pydantic import Field, model_validator

from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.settings import Settings, TrainSettings, read_toml


class Patches(Settings):
    patch: int = Field(8, ge=1, description="pixels a side")
    size: int = Field(64, ge=1, description="pixels a side")

    @model_validator(mode="after")
    def _fits(self):
        if self.size % self.patch:
            raise ValueError(f"patch={self.patch} must divide size={self.size}")
        return self


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"patch": 0}, "patch=0 must be greater than or equal to 1"),
        ({"patch": "many"}, "patch='many' must be a valid integer"),
        ({"patch": 7}, "patch=7 must divide size=64"),
        ({"patch": "x" * 5000}, "patch='x{59}… must be a valid integer"),
        ({"pitch": 7}, "unknown setting 'pitch'; known are patch, size"),
    ],
)
def test_a_setting_out_of_range_is_one_line_that_names_it(fields, complaint):
    with pytest.raises(UsageError, match=complaint) as caught:
        Patches.build(**fields)
    assert "\n" not in str(caught.value)


def test_the_fields_of_training_are_what_users_rely_on():
    assert list(TrainSettings.model_fields) == [
        "steps", "batch_size", "learning_rate", "seed", "device", "precision", "reduction", "checkpoint_every",
        "log_every",
    ]  # fmt: skip


def test_every_setting_is_described():
    assert all(field.description for field in TrainSettings.model_fields.values())


@pytest.mark.parametrize(
    "content",
    [b"steps = ", b"\xff\xfe", b"[a\n", b"steps = " + b"[" * 10_000, b"steps = " + b"9" * 5000],
    ids=["cut short", "no text", "open bracket", "nested", "huge number"],
)
def test_a_damaged_toml_is_said_to_be_so(tmp_path, content):
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"recipe\.toml cannot be read as TOML"):
        read_toml(path)


def test_a_missing_toml_names_the_path(tmp_path):
    with pytest.raises(DataError, match=r"no settings file at .*absent\.toml"):
        read_toml(tmp_path / "absent.toml")


def test_a_step_size_without_end_is_refused():
    with pytest.raises(UsageError, match="learning_rate=inf must be a finite number"):
        TrainSettings.build(learning_rate=float("inf"))


@pytest.mark.parametrize("kind", ["folder", "pipe", "too large", "loop", "name too long"])
def test_what_is_no_settings_file_is_refused_before_it_is_read(tmp_path, kind):
    path = tmp_path / ("x" * 300 if kind == "name too long" else "recipe.toml")
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "too large":
        path.write_bytes(b"#" * 2_000_000)
    elif kind == "loop":
        path.symlink_to(path)
    with pytest.raises(DataError, match=r"is no settings file|cannot be read: ") as refusal:
        read_toml(path)
    assert "\n" not in str(refusal.value)
