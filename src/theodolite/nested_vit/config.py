"""Settings of the nested vision transformer, its data and its training."""

import math
from typing import Literal

from pydantic import Field, model_validator

from theodolite.data.twins import CLASSES, SMALLEST_SIDE
from theodolite.kernel.settings import Settings, TrainSettings


class NestedViTConfig(Settings):
    """The network and the canvases it is trained on. The network itself takes images of any size."""

    size: int = Field(256, ge=SMALLEST_SIDE, le=16384, description="side of the training canvases, px")
    patch: int = Field(8, ge=1, le=256, description="side of a patch, px")
    window: int = Field(8, ge=1, le=64, description="side of a window, patches")
    region_tokens: int = Field(1, ge=1, le=16, description="tokens that speak for a window")
    width: int = Field(64, ge=4, le=4096, description="features a token")
    heads: int = Field(4, ge=1, le=64, description="attention heads; they share the width")
    stages: int = Field(2, ge=1, le=12, description="how often local and global blocks alternate")
    local_blocks: int = Field(2, ge=1, le=12, description="layers within windows, a stage")
    global_blocks: int = Field(2, ge=1, le=12, description="layers over region tokens, a stage")
    target: Literal["dense", "label"] = Field("dense", description="every pixel: has it a twin; or which digits do")
    gradients: Literal["ordinary", "chunked"] = Field(
        "ordinary", description="chunked recomputes windows: nearly constant memory, for about 2.4 times the work"
    )
    chunk: int = Field(16, ge=1, le=65536, description="windows recomputed at a time")
    digits_share: float = Field(0.42, ge=0, le=1, description="share of the steps that teach digits within windows")
    twins_share: float = Field(0.4, ge=0, le=1, description="share after those that teaches twins among windows")
    held_out: int = Field(192, ge=2, le=65536, description="canvases the audit measures on")
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
        if self.patch * self.window > self.size:
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

    @property
    def outputs(self) -> int:
        """Numbers the head gives: one a pixel of a patch, or one a digit."""
        return self.patch**2 if self.target == "dense" else CLASSES


class NestedViTTraining(TrainSettings):
    """How it is trained: on digits within windows, on twins among windows, then on the target."""

    steps: int = Field(1000, ge=1, description="optimiser steps in all")
    batch_size: int = Field(8, ge=1, description="canvases a step, over all processes")
    learning_rate: float = Field(
        3e-3, gt=0, allow_inf_nan=False, description="highest step size of AdamW; warmed up, then falling to zero"
    )
