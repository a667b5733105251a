"""Frames too large for memory, cut into tiles that overlap so far that nothing is lost; what a streamed tile takes."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from theodolite.kernel.errors import ResourceError
from theodolite.video_unet.model import Decoder, Encoder, VideoUNet

FRAMES, ROWS, COLUMNS = 0, 1, 2
"""The axes of a clip, of kernels and of windows."""


@dataclass(frozen=True)
class Span:
    """Positions along one axis that are given to the network, and those of them whose result is wanted."""

    begin: int
    end: int
    first: int
    stop: int


@dataclass(frozen=True)
class Tile:
    """A part of every frame."""

    rows: Span
    columns: Span


def tiles(network: VideoUNet, height: int, width: int, most: int, memory: int) -> list[Tile]:
    """Cut frames into as few pixels as can be streamed, tile by tile, within the memory given; whole if that fits.

    Tiles are whole cells of the pooling grid, with as many neighbours as an output depends on: joined, their results
    are that of the whole frame.

    Raises
    ------
    ResourceError
        If no tile with its neighbours would fit.
    """
    cuts = list(itertools.product(_cuts(network, ROWS, height), _cuts(network, COLUMNS, width)))
    for rows, columns in sorted(cuts, key=lambda cut: _given(cut[0]) * _given(cut[1])):
        if streaming_bytes(network, _longest(rows), _longest(columns), most) <= memory:
            return [Tile(*spans) for spans in itertools.product(rows, columns)]
    whole = streaming_bytes(network, height, width, most)
    least = min(streaming_bytes(network, _longest(rows), _longest(columns), most) for rows, columns in cuts)
    raise ResourceError(
        f"frames of {width}×{height} would take about {whole / 2**20:,.0f} MiB, "
        f"and {least / 2**20:,.0f} in tiles, more than {memory / 2**20:,.0f}; scale the video down, or train with a "
        "smaller --base or fewer --stages"
    )


def _cuts(network: VideoUNet, axis: int, size: int) -> list[list[Span]]:
    """Give every way to cut one side into equal tiles of whole cells, from none on."""
    unit, around = cell(network, axis), halo(network, axis)
    cells = -(-size // unit)
    sides = sorted({unit * -(-cells // count) for count in range(1, cells + 1)}, reverse=True)
    return [
        [
            Span(max(0, first - around), min(size, first + side + around), first, min(first + side, size))
            for first in range(0, size, side)
        ]
        for side in sides
    ]


def _given(spans: list[Span]) -> int:
    """Positions along one axis that are given to the network, neighbours again for every tile."""
    return sum(span.end - span.begin for span in spans)


def _longest(spans: list[Span]) -> int:
    return max(span.end - span.begin for span in spans)


def cell(network: VideoUNet, axis: int) -> int:
    """Positions along an axis that become one at the bottom."""
    return math.prod(_side(encoder.pool.kernel_size, axis) for encoder in _encoders(network))


def halo(network: VideoUNet, axis: int) -> int:
    """Neighbours on either side, in whole cells, that the outputs of a cell depend on."""
    size = cell(network, axis)
    windows = [_window(network, axis, position) for position in range(size)]
    reach = max(max(-first, last - size + 1) for first, last in windows)
    return size * -(-max(reach, 0) // size)


def _window(network: VideoUNet, axis: int, position: int) -> tuple[int, int]:
    """First and last position that an output depends on: followed backwards along the deepest path."""
    first = last = position
    for decoder in reversed(_decoders(network)):
        for layer in reversed([*_leaves(decoder.up), *decoder.convolutions]):
            first, last = _before(layer, axis, first, last)
    for layer in reversed(list(network.bottleneck.children())):
        first, last = _before(layer, axis, first, last)
    for encoder in reversed(_encoders(network)):
        for layer in reversed([*encoder.convolutions, encoder.pool]):
            first, last = _before(layer, axis, first, last)
    return first, last


def _before(layer: nn.Module, axis: int, first: int, last: int) -> tuple[int, int]:
    if isinstance(layer, nn.Conv3d):
        reach = layer.kernel_size[axis] // 2
        return first - reach, last + reach
    if isinstance(layer, nn.MaxPool3d):
        window = _side(layer.kernel_size, axis)
        return window * first, window * last + window - 1
    window = _side(layer.scale_factor if isinstance(layer, nn.Upsample) else layer.stride, axis)
    return first // window, last // window


def streaming_bytes(network: VideoUNet, height: int, width: int, most: int) -> int:
    """Bytes that streaming takes at most with so many frames at a time, weights left out: an upper bound.

    What convolutions hold and work on, and the skip frames that wait while their deep part is on its way.
    """
    total, frame = 0.0, float(height * width)
    last = max(_window(network, FRAMES, position)[1] - position for position in range(cell(network, FRAMES)))
    waiting = last + 2.0 * cell(network, FRAMES) + most
    for encoder, decoder in zip(_encoders(network), reversed(_decoders(network)), strict=True):
        window = _side(encoder.pool.kernel_size, FRAMES)
        total += frame * _convolving([*encoder.convolutions, *decoder.convolutions], most + window)
        channels = _channels(encoder.convolutions)
        # what waits; beside it a chunk is gathered for pooling, taken from what waits, joined, and handed on
        total += frame * channels * (waiting * decoder.skips + 6 * (most + window))
        total += frame * _channels(_leaves(decoder.up)) * window * (most + window)
        total += frame / cell_share(encoder) * _convolving(_leaves(decoder.up), most + window)
        frame, waiting = frame / cell_share(encoder), waiting / window + 1
    total += frame * _convolving(list(network.bottleneck.children()), most)
    return math.ceil(total * next(network.parameters()).element_size())


def cell_share(encoder: Encoder) -> float:
    """How many times fewer pixels a frame has after a pooling."""
    return float(_side(encoder.pool.kernel_size, ROWS) * _side(encoder.pool.kernel_size, COLUMNS))


def _convolving(layers: list[nn.Module], frames: int) -> float:
    """Numbers a pixel: the frames held, those held beside new ones, and the result before and after the rectifier."""
    found = [layer for layer in layers if isinstance(layer, nn.Conv3d)]
    return float(
        sum(
            each.in_channels * (2 * (each.kernel_size[0] - 1) + frames) + 2 * each.out_channels * frames
            for each in found
        )
    )


def _channels(layers: Iterable[nn.Module]) -> int:
    """Channels of the last map of some layers."""
    found = [each for each in layers if isinstance(each, (nn.Conv3d, nn.ConvTranspose3d))]
    return found[-1].out_channels


def _leaves(layer: nn.Module) -> list[nn.Module]:
    return [part for part in layer.modules() if not list(part.children())]


def _side(value: Any, axis: int) -> int:
    """Return one axis of what a layer of torch names by one number or by three."""
    return int(value[axis] if isinstance(value, (tuple, list)) else value)


def _encoders(network: VideoUNet) -> list[Encoder]:
    return [each for each in network.encoders if isinstance(each, Encoder)]


def _decoders(network: VideoUNet) -> list[Decoder]:
    return [each for each in network.decoders if isinstance(each, Decoder)]
