"""Settings of the video U-Net: the clips it is made for, its architecture, its loss."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from theodolite.kernel.settings import Settings, TrainSettings

EMBEDDED = "clips"

LARGEST_KERNEL, LARGEST_POOL = 15, 8

Size = tuple[int, int, int]
"""Frames × rows × columns."""


def _sides(given: Any) -> Any:
    """Read one side for all axes, or three as a list or written as 1,3,3; what is neither is refused."""
    if isinstance(given, str):
        numbers = re.fullmatch(r"\[?\s*(\d{1,4})\s*(?:[,x×]\s*(\d{1,4})\s*[,x×]\s*(\d{1,4})\s*)?\]?", given)
        given = [int(number) for number in numbers.groups() if number] if numbers else given
    sides = list(given) if isinstance(given, (list, tuple)) else [given]
    if len(sides) not in (1, 3) or any(type(side) is not int for side in sides):
        raise ValueError("must be one whole number, or three for frames, rows and columns, such as 1,3,3")
    return sides[0] if len(sides) == 1 else ",".join(map(str, sides))


Sides = Annotated[int | str, BeforeValidator(_sides)]
"""One side for all three axes, or three: kept as they are written, 1,3,3, so that files and lines hold the same."""


class VideoUNetConfig(Settings):
    """What is built and on which clips; the paper's 10 × 32 × 32 × 3 by default."""

    data: str = Field(EMBEDDED, description="'clips' (embedded), or a video file, or a folder of them")
    clips: int = Field(2000, ge=2, le=10**6, description="training clips; of a folder, at most so many are cut")
    held_out: int = Field(64, ge=2, description="clips kept from training; of a folder, at most a fifth")
    hold_out: Literal["tails", "files"] = Field(
        "tails", description="of videos: the last fifth of each file is held out, or every fifth file"
    )
    crop: Literal["fitted", "native"] = Field(
        "fitted",
        description="of videos: frames are scaled until one side just fits, or keep their pixels; cut at random places",
    )
    frames: int = Field(10, ge=1, le=4096, description="frames of a clip (f)")
    height: int = Field(32, ge=1, le=4096, description="rows of a frame (h)")
    width: int = Field(32, ge=1, le=4096, description="columns of a frame (w)")
    channels: int = Field(3, ge=1, le=64, description="colours (c); embedded clips and files have 3, or 1 as grey")
    stages: int = Field(3, ge=1, le=12, description="encoder blocks (N), as many decoder blocks")
    convs_per_stage: int = Field(2, ge=1, le=12, description="convolutions in each block (M)")
    base: int = Field(32, ge=1, le=1024, description="channels of the first block; each block below has twice as many")
    kernel: Sides = Field(3, description="sides of every convolution's kernel, odd, 1 to 15: one, or three as 1,3,3")
    pool: Sides = Field(
        2, description="window and stride of pooling and of its way back, 1 to 8: one, or three as 1,2,2"
    )
    rounding: Literal["up", "down"] = Field("up", description="of sizes that the pooling window does not divide")
    code_channels: int | None = Field(None, ge=1, description="channels of the deepest map; by default base · 2^stages")
    up: Literal["transposed", "resize"] = Field(
        "transposed", description="the way back from pooling: transposed convolution, or repetition then convolution"
    )
    skips: bool = Field(True, description="join each encoder block's map to the decoder block at its height")
    compare_skips: bool = Field(True, description="train the same network without skips (or with them) beside it")
    loss: Literal["charbonnier", "squared", "root"] = Field(
        "charbonnier",
        description="of a pixel: a smooth absolute error, or its square (plain with both weights 0), or a clip's root",
    )
    temporal_weight: float = Field(0.5, ge=0.0, le=1e6, description="weight of the loss of frame-to-frame differences")
    structural_weight: float = Field(
        0.5, ge=0.0, le=1e6, description="weight of (1 − SSIM)/2, in windows over space and time"
    )
    optimizer: Literal["adam", "muon"] = Field(
        "adam",
        description="of kernels; muon takes steps a fifth as large that move all directions alike: for small codes",
    )

    corruption: Literal["none", "masked", "blocks", "noise"] = Field(
        "none",
        description="what is done to the clips shown: whole frames or space-time blocks hidden and filled in by linear "
        "interpolation in time, or noise added; what the network makes is then added to what it was shown",
    )
    corruption_level: float | None = Field(
        None, gt=0.0, le=10.0, description="share hidden [0.5], or the noise's deviation for pixels in 0 to 1 [0.1]"
    )

    @model_validator(mode="after")
    def _corruption_works(self) -> Self:
        if self.corruption == "none" and self.corruption_level is not None:
            raise ValueError(f"corruption_level={self.corruption_level} needs corruption=masked, blocks or noise")
        if self.corruption in ("masked", "blocks"):
            if self.level >= 1.0:
                raise ValueError(f"corruption_level={self.level} hides all of a clip; give a share below 1")
            if self.frames == 1:
                raise ValueError(f"corruption={self.corruption} fills in from other frames; give frames of at least 2")
        return self

    @property
    def level(self) -> float:
        """Share of a clip that is hidden, or the deviation of the noise that is added; 0 for no corruption."""
        usual = {"none": 0.0, "masked": 0.5, "blocks": 0.5, "noise": 0.1}[self.corruption]
        return usual if self.corruption_level is None else self.corruption_level

    @model_validator(mode="after")
    def _sizes_work(self) -> Self:
        for side in self.kernels:
            if side % 2 == 0 or not 1 <= side <= LARGEST_KERNEL:
                near = (
                    f"the nearest are {side - 1} and {side + 1}" if 1 < side < LARGEST_KERNEL else "1, 3, 5 and so on"
                )
                raise ValueError(f"kernel={self.kernel} must be odd and 1 to {LARGEST_KERNEL}; {near}")
        for side in self.pools:
            if not 1 <= side <= LARGEST_POOL:
                raise ValueError(f"pool={self.pool} must be 1 to {LARGEST_POOL} along every axis")
        sides = {"frames": self.frames, "height": self.height, "width": self.width}
        for (name, size), cell in zip(sides.items(), self.cell, strict=True):
            if self.rounding == "down" and size < cell:
                raise ValueError(
                    f"{name}={size} is pooled away by {self.stages} stages that round down; give at least {cell}, "
                    "or rounding=up"
                )
        return self

    @property
    def kernels(self) -> Size:
        """Frames × rows × columns of every kernel."""
        return _size(self.kernel)

    @property
    def pools(self) -> Size:
        """Frames × rows × columns of every pooling's window."""
        return _size(self.pool)

    @property
    def cell(self) -> Size:
        """Frames × rows × columns of the clip that become one position of the deepest map."""
        frames, rows, columns = self.pools
        return (frames**self.stages, rows**self.stages, columns**self.stages)

    @property
    def networks(self) -> dict[str, "VideoUNetConfig"]:
        """The networks that are trained, by name, each with its own settings; the one asked for comes first."""
        chosen = [self.skips] + [not self.skips] * self.compare_skips
        names = {True: "with_skips", False: "without_skips"}
        return {names[skips]: self.model_copy(update={"skips": skips}) for skips in chosen}


def _size(sides: int | str) -> Size:
    numbers = [int(side) for side in str(sides).split(",")]
    frames, rows, columns = numbers if len(numbers) == 3 else 3 * numbers
    return (frames, rows, columns)


class VideoUNetTraining(TrainSettings):
    """How it is trained."""

    steps: int = Field(150, ge=1, description="optimiser steps in all")
    batch_size: int = Field(2, ge=1, description="clips a step, over all processes")
    learning_rate: float = Field(
        0.02, gt=0, allow_inf_nan=False, description="largest step of a weight, as a share of its initial size"
    )
    checkpoint_every: int = Field(50, ge=1, description="steps between checkpoints")
