"""Settings: one flat frozen class a family for the model and its data, and these for training."""

import re
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from theodolite.kernel.errors import DataError, UsageError

LARGEST_FILE = 2**20  # bytes; a file of settings has some hundred
LONGEST_SHOWN = 60  # letters of a value in a complaint


class Settings(BaseModel):
    """Base of every settings class: flat, frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def build(cls, **fields: Any) -> Self:
        """Build from fields; a field out of range is a `UsageError` of one line naming it."""
        try:
            return cls(**fields)
        except ValidationError as error:
            raise UsageError(explain(error, cls)) from None


class TrainSettings(Settings):
    """What all that train share. A family's own defaults are a subclass in its ``config.py``."""

    steps: int = Field(1000, ge=1, description="optimiser steps in all")
    batch_size: int = Field(64, ge=1, description="samples a step, over all processes")
    learning_rate: float = Field(1e-3, gt=0, allow_inf_nan=False, description="step size of the optimiser")
    seed: int = Field(0, ge=0, lt=2**63, description="every random draw is a function of seed, step and sample")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto takes a GPU where there is one")
    precision: Literal["auto", "32-true", "64-true", "bf16-mixed"] = Field(
        "auto", description="auto is bf16-mixed on GPUs that compute it faster and right, else 32-true"
    )
    reduction: Literal["plain", "fixed"] = Field(
        "plain", description="fixed adds gradients in one order: 1, 2, 4 or 8 processes end bitwise equal; slower"
    )
    checkpoint_every: int = Field(200, ge=1, description="steps between checkpoints")
    log_every: int = Field(10, ge=1, description="steps between lines of metrics.jsonl")


def explain(error: ValidationError, settings: type[Settings]) -> str:
    """Turn the first complaint of a validation into one line: which field, what came, what is allowed."""
    complaint = error.errors()[0]
    name = ".".join(str(part) for part in complaint["loc"]) or settings.__name__
    if complaint["type"] == "extra_forbidden":
        return f"unknown setting {name!r}; known are {', '.join(settings.model_fields)}"
    message = complaint["msg"].removeprefix("Value error, ")
    if not complaint["loc"]:
        return message
    # pydantic's "Input should be …" goes on where the value ends
    return f"{name}={_brief(complaint['input'])} {re.sub('^[A-Z][a-z]+ should ', 'must ', message)}"


def _brief(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}…"


def read_toml(path: Path) -> dict[str, Any]:
    """Read a flat TOML file of settings.

    Raises
    ------
    DataError
        If it is missing, no file, too large, not UTF-8, or no TOML.
    """
    try:
        size = path.stat().st_size
        if not path.is_file() or size > LARGEST_FILE:
            raise DataError(f"{path} is no settings file: it must be a file of at most {LARGEST_FILE:,} bytes")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"no settings file at {path}; recipes/ holds examples") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, nested or counted beyond what Python follows
        raise DataError(f"{path} cannot be read as TOML: {error}") from None
