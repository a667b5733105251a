"""Settings of the nested vision transformer, its data and its training."""

import math
import re
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from theodolite.data.twins import CLASSES, SMALLEST_SIDE, Kind
from theodolite.kernel.settings import Settings, TrainSettings

_UNITS = {"": 1, "B": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("KMGT", start=1)
    for suffix, base in (("iB", 1024), ("B", 1000))
}


def _bytes(value: object) -> object:
    """Turn 4GiB, 500 MB or a plain number into bytes; what is neither is left to complain about."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", value)
    unit = found and next((name for name in _UNITS if name.lower() == found[2].lower()), None)
    if found is None or unit is None:
        raise ValueError("should be bytes, as in 4GiB or 500MB")
    return int(float(found[1]) * _UNITS[unit])


Bytes = Annotated[int, BeforeValidator(_bytes)]


CANVASES: tuple[str, ...] = get_args(Kind)


class NestedViTConfig(Settings):
    """The network and what it is trained on. The network itself takes images of any size."""

    data: str = Field(
        CANVASES[0],
        min_length=1,
        description="canvases: 'twins' anywhere, or 'row-twins' in the same row with fragments about; or your own "
        "images: a folder of a folder a class, a .csv with columns path and label, or a folder of images and masks",
    )
    size: int = Field(256, ge=SMALLEST_SIDE, le=16384, description="side of the canvases, px")
    patch: int = Field(8, ge=1, le=256, description="side of a patch, px")
    window: int = Field(8, ge=1, le=64, description="side of a window, patches")
    region_tokens: int = Field(1, ge=1, le=16, description="tokens that speak for a window")
    width: int = Field(64, ge=4, le=4096, description="features a token")
    heads: int = Field(4, ge=1, le=64, description="attention heads; they share the width")
    stages: int = Field(2, ge=1, le=12, description="how often local and global blocks alternate")
    local_blocks: int = Field(2, ge=1, le=12, description="layers within windows, a stage")
    global_blocks: int = Field(2, ge=1, le=12, description="layers over region tokens, a stage")
    place_scale: float = Field(
        1.0, ge=0, le=100, description="size of the sinusoids that tell region tokens where their window lies"
    )
    channels: int = Field(3, ge=1, le=1024, description="numbers a pixel; of your own images as they have")
    target: Literal["dense", "label"] = Field(
        "dense", description="what is told: every pixel, or the image; of your own images as masks or labels say"
    )
    classes: int | None = Field(
        None,
        ge=1,
        le=65536,
        description="logits a pixel, or an image; by default as your data have, or the twins: 1 a pixel, 6 an image",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="share of each half layer's output that training sets to zero")
    skip_empty: bool = Field(
        False, description="windows of one colour pass the later stages' local blocks by: faster, another function"
    )
    memory: Bytes | None = Field(
        None,
        ge=2**20,
        description="what a training step may hold, as in 4GiB; by default 2GiB for your own images, else no bound",
    )
    gradients: Literal["auto", "ordinary", "recomputed", "stored"] = Field(
        "auto",
        description="all exact: ordinary autograd, or by chunks, recomputed from pixels or from stored stages; "
        "auto takes what fits the memory",
    )
    chunk: int | None = Field(
        None, ge=1, le=65536, description="windows computed at a time; by default what fits the memory"
    )
    digits_share: float = Field(0.42, ge=0, le=1, description="twins: share of the steps that teach digits")
    twins_share: float = Field(0.4, ge=0, le=1, description="twins: share that teaches twins")
    held_out: int = Field(
        192, ge=2, le=65536, description="images the audit measures on at most; of your own a fifth is held out"
    )
    show_size: int = Field(
        4096, ge=0, le=65536, description="side of the image of one shown training step, px; 0 for none"
    )

    @model_validator(mode="after")
    def _fields_fit(self) -> "NestedViTConfig":
        if self.width % self.heads:
            step = math.lcm(self.heads, 4)  # positions take quarters of the width
            below, above = step * (self.width // step), step * (self.width // step + 1)
            raise ValueError(
                f"heads={self.heads} must divide width={self.width}; "
                f"the nearest widths are {max(below, step)} and {above}"
            )
        if self.width % 4:
            raise ValueError(
                f"width={self.width} must be a multiple of 4: positions take a quarter for each sine and cosine"
            )
        if self.own_images:
            self._has_nothing_of_the_twins()
        elif self.patch * self.window > self.size:
            raise ValueError(
                f"a window of {self.window} patches of {self.patch} px is larger than size={self.size}; "
                f"give window ≤ {max(self.size // self.patch, 1)}"
            )
        if self.digits_share + self.twins_share > 1:
            raise ValueError(
                f"digits_share={self.digits_share} and twins_share={self.twins_share} make more than 1; "
                "what they leave trains the whole network"
            )
        return self

    def _has_nothing_of_the_twins(self) -> None:
        for name in ("size", "digits_share", "twins_share"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(
                    f"{name}={getattr(self, name)} is a setting of the twins' canvases; your own images have sizes and "
                    f"labels of their own: leave --{name.replace('_', '-')} out"
                )

    @property
    def own_images(self) -> bool:
        """Whether it is trained on the user's images."""
        return self.data not in CANVASES

    @property
    def canvases(self) -> Kind:
        """Which canvases are drawn, where there are no images of the user's."""
        return "row-twins" if self.data == "row-twins" else "twins"

    @property
    def num_classes(self) -> int:
        """Logits of a pixel, or of an image."""
        return self.classes or (1 if self.target == "dense" else CLASSES)

    @property
    def outputs(self) -> int:
        """Numbers the head gives: one a class and pixel of a patch, or one a class."""
        return self.num_classes * (self.patch**2 if self.target == "dense" else 1)


class NestedViTTraining(TrainSettings):
    """How it is trained: on digits within windows, on twins among windows, then on the target."""

    steps: int = Field(1000, ge=1, description="optimiser steps in all")
    batch_size: int = Field(8, ge=1, description="canvases a step, over all processes")
    learning_rate: float = Field(
        3e-3, gt=0, allow_inf_nan=False, description="highest step size of AdamW; warmed up, then falling to zero"
    )
