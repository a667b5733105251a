"""Every map of the U-Net, counted from the settings alone: sizes, weights, work and memory. No torch."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from theodolite.theory.convolution import (
    convolution_parameters,
    convolution_size,
    live_taps,
    multiply_adds,
    pooled_size,
    taps_inside,
    transposed_size,
)
from theodolite.video_unet.config import Size, VideoUNetConfig

Operation = Literal["input", "convolution", "pooling", "up-convolution", "repetition", "crop or pad", "concatenation"]


@dataclass(frozen=True)
class Map:
    """One map and the operation that makes it.

    Attributes
    ----------
    name : str
        Path of the module whose output it is; ``….fit`` and ``….join`` are steps between modules.
    block : str
        The block it belongs to, as the diagram names it.
    operation : str
        What makes it.
    kernel : Size or None
        Frames × height × width of the kernel or window.
    channels_in, channels : int
        Channels before and after.
    size : Size
        Frames × height × width of the map.
    parameters, dead, work, work_inside, kept : int
        Weights and biases; weights that can never matter; multiply-adds of one clip, and those of them that read no
        padding; bytes that a training step in float32 keeps of this map for the backward pass.
    """

    name: str
    block: str
    operation: Operation
    kernel: Size | None
    channels_in: int
    channels: int
    size: Size
    parameters: int = 0
    dead: int = 0
    work: int = 0
    work_inside: int = 0
    kept: int = 0

    @property
    def numbers(self) -> int:
        """How many numbers the map holds."""
        return self.channels * math.prod(self.size)


def maps(config: VideoUNetConfig) -> tuple[Map, ...]:
    """Return every map of the network in the order it is computed."""
    return tuple(_Walk(config).network())


def code(config: VideoUNetConfig) -> Map:
    """Return the deepest map: all that the decoder is told where there are no skips."""
    return next(made for made in reversed(maps(config)) if made.block == "bottleneck")


@dataclass(frozen=True)
class _Walk:
    config: VideoUNetConfig

    def network(self) -> Iterator[Map]:
        config = self.config
        widths = [config.base * 2**stage for stage in range(config.stages + 1)]
        deepest = config.code_channels or widths[-1]
        size, channels = (config.frames, config.height, config.width), config.channels
        yield Map("input", "input", "input", None, channels, channels, size, kept=_bytes(channels, size))
        sizes: list[Size] = []
        for stage, width in enumerate(widths[:-1]):
            sizes.append(size)
            pooled = self._pooled(size)
            # without skips nobody reads the positions that rounding down leaves out
            used = size if config.skips or config.rounding == "up" else _times(pooled, config.pools)
            name, block, outputs = f"encoders.{stage}", f"encoder {stage + 1}", [width] * config.convs_per_stage
            yield from self._convolutions(f"{name}.convolutions", block, [(channels, size)], outputs, size, used)
            # pooling keeps what it returns, and for each number the int64 index of where it was largest
            kept = 3 * _bytes(width, pooled)
            yield Map(f"{name}.pool", block, "pooling", config.pools, width, width, pooled, kept=kept)
            size, channels = pooled, width
        outputs = [widths[-1]] * (config.convs_per_stage - 1) + [deepest]
        yield from self._convolutions("bottleneck", "bottleneck", [(channels, size)], outputs, size, size)
        channels = deepest
        for index, stage in enumerate(reversed(range(config.stages))):
            yield from self._decoder(index, f"decoder {stage + 1}", channels, widths[stage], size, sizes[stage])
            size, channels = sizes[stage], widths[stage]
        yield self._head(channels, size)

    def _decoder(self, index: int, block: str, deep: int, width: int, size: Size, target: Size) -> Iterator[Map]:
        config, name = self.config, f"decoders.{index}"
        raised = _sizes(transposed_size(side, pool, pool) for side, pool in zip(size, config.pools, strict=True))
        fitted = _sizes(min(side, wanted) for side, wanted in zip(raised, target, strict=True))
        cropped, padded = fitted != raised, fitted != target
        # what a convolution reads is kept; joining copies it, padding too, cropping keeps the whole it is cut from
        kept = 0 if config.skips or padded else _bytes(width, raised)
        yield from (self._resized if config.up == "resize" else self._transposed)(
            f"{name}.up", block, (deep, width), size, raised, target, kept
        )
        if cropped or padded:
            kept = _bytes(width, target) if padded and not config.skips else 0
            yield Map(f"{name}.fit", block, "crop or pad", None, width, width, target, kept=kept)
        inputs = [(width, fitted)]
        if config.skips:
            inputs.append((width, target))
            kept = _bytes(2 * width, target)
            yield Map(f"{name}.join", block, "concatenation", None, width, 2 * width, target, kept=kept)
        yield from self._convolutions(
            f"{name}.convolutions", block, inputs, [width] * config.convs_per_stage, target, target
        )

    def _transposed(
        self, name: str, block: str, channels: tuple[int, int], size: Size, raised: Size, target: Size, kept: int
    ) -> Iterator[Map]:
        pools, (deep, width) = self.config.pools, channels
        # tap t of an up-convolution writes to t, t + pool, …: it is dead where a crop leaves no such position
        live = math.prod(min(pool, wanted) for pool, wanted in zip(pools, target, strict=True))
        work = multiply_adds(pools, deep, width, size)
        yield Map(
            name, block, "up-convolution", pools, deep, width, raised,
            parameters=convolution_parameters(pools, deep, width),
            dead=deep * width * (math.prod(pools) - live), work=work, work_inside=work, kept=kept,
        )  # fmt: skip

    def _resized(
        self, name: str, block: str, channels: tuple[int, int], size: Size, raised: Size, target: Size, kept: int
    ) -> Iterator[Map]:
        deep, width = channels
        yield Map(f"{name}.0", block, "repetition", self.config.pools, deep, deep, raised, kept=_bytes(deep, raised))
        used = _sizes(min(side, wanted) for side, wanted in zip(raised, target, strict=True))
        live = deep * self._live(raised, used)
        yield self._convolution(f"{name}.1", block, deep, width, raised, live, kept)

    def _convolutions(
        self, name: str, block: str, inputs: list[tuple[int, Size]], outputs: list[int], size: Size, used: Size
    ) -> Iterator[Map]:
        """One block; `inputs` are channels and the extent that holds data, `used` what is read of the block's map."""
        for number, channels in enumerate(outputs):
            channels_in = sum(given for given, _ in inputs)
            # the convolutions still to come reach further than what is used of the last one
            after = len(outputs) - 1 - number
            read = _sizes(
                min(side, last + after * (kernel // 2))
                for side, last, kernel in zip(size, used, self.config.kernels, strict=True)
            )
            live = sum(given * self._live(extent, read) for given, extent in inputs)
            kept = _bytes(channels, size)
            yield self._convolution(f"{name}.{number}", block, channels_in, channels, size, live, kept)
            inputs = [(channels, size)]

    def _convolution(
        self, name: str, block: str, channels_in: int, channels: int, size: Size, live: int, kept: int
    ) -> Map:
        """One convolution that keeps the size; `live` counts the taps, over input channels, that can ever matter."""
        kernel = self.config.kernels
        axes = list(zip(size, kernel, strict=True))
        positions = _sizes(convolution_size(side, taps, padding=taps // 2) for side, taps in axes)
        return Map(
            name, block, "convolution", kernel, channels_in, channels, positions,
            parameters=convolution_parameters(kernel, channels_in, channels),
            dead=channels * (channels_in * math.prod(kernel) - live),
            work=multiply_adds(kernel, channels_in, channels, positions),
            work_inside=channels_in * channels * math.prod(taps_inside(side, taps) for side, taps in axes),
            kept=kept,
        )  # fmt: skip

    def _live(self, extent: Size, used: Size) -> int:
        """Taps of a kernel that read one of the first `extent` positions for one of the first `used` outputs."""
        axes = zip(extent, used, self.config.kernels, strict=True)
        return math.prod(live_taps(side, read, kernel) for side, read, kernel in axes)

    def _head(self, channels: int, size: Size) -> Map:
        one, out = (1, 1, 1), self.config.channels
        work = multiply_adds(one, channels, out, size)
        return Map(
            "head", "output", "convolution", one, channels, out, size,
            parameters=convolution_parameters(one, channels, out), work=work, work_inside=work,
        )  # fmt: skip

    def _pooled(self, size: Size) -> Size:
        axes = zip(size, self.config.pools, strict=True)
        return _sizes(pooled_size(side, pool, self.config.rounding) for side, pool in axes)


def _sizes(sides: Iterator[int]) -> Size:
    frames, height, width = sides
    return (frames, height, width)


def _times(size: Size, factors: Size) -> Size:
    return _sizes(factor * side for side, factor in zip(size, factors, strict=True))


def _bytes(channels: int, size: Size) -> int:
    return 4 * channels * math.prod(size)
