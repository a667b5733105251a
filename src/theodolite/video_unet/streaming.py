"""A video of any length through a U-Net, a few frames at a time: the result of one pass, in memory that does not grow.

Every layer keeps what it still needs of its input and nothing else: a convolution of k frames the last k − 1, a
pooling the frames of its unfinished window, a decoder block the skip frames that wait for their deep part. Nothing is
computed twice.
"""

from collections import deque
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from theodolite.engine.convolution import convolve
from theodolite.kernel.errors import DataError
from theodolite.video_unet.model import Decoder, Encoder, VideoUNet, fit

Chunk = Float[Tensor, "batch channels frames height width"]

ERROR = {torch.float32: 1e-6, torch.float64: 1e-12}
"""Largest difference from one pass over the whole video, as a share of its largest value, by precision: rounding."""


def streamed(network: VideoUNet, video: Iterable[Chunk], most: int = 8) -> Iterator[Chunk]:
    """Reconstruct a video that arrives in chunks; what comes out is what `network` would make of them joined.

    Parameters
    ----------
    network : VideoUNet
        Of any kernels and pools, with skips or without, rounding up or down.
    video : iterable of chunks
        Each (batch, channels, frames ≥ 1, height, width); frames may differ, nothing else.
    most : int
        Frames that a decoder block works on at a time. Fewer take less memory; the result is the same.

    Yields
    ------
    chunk
        As many frames in all as came in. They lag behind by the reach of the network.

    Raises
    ------
    DataError
        If the video ends before there is a frame at the bottom of a network that rounds down.
    """
    chunks = _through(network, iter(video), most)
    while True:
        # entered anew for every chunk: around a `yield` the mode would reach into the caller's code
        with torch.inference_mode():
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk


def _through(network: VideoUNet, x: Iterator[Chunk], most: int) -> Iterator[Chunk]:
    """Connect the layers as `VideoUNet.forward` does."""
    skips = []
    encoders = [each for each in network.encoders if isinstance(each, Encoder)]
    decoders = [each for each in network.decoders if isinstance(each, Decoder)]
    for encoder, decoder in zip(encoders, reversed(decoders), strict=True):
        skip = _Skip(decoder.skips, most)
        x = pooled(encoder.pool, skip.kept(convolutions(encoder.convolutions, x)))
        skips.append(skip)
    x = convolutions(network.bottleneck, x)
    for decoder in decoders:
        x = convolutions(decoder.convolutions, skips.pop().joined(raised(decoder.up, x)))
    return convolved(network.head, x)


def convolutions(layers: nn.ModuleList, x: Iterator[Chunk]) -> Iterator[Chunk]:
    """One block of convolutions, each followed by a rectifier."""
    for layer in layers:
        x = map(F.relu, convolved(layer, x))
    return x


def convolved(layer: nn.Module, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """A convolution that keeps the size; it holds the last k − 1 frames of its input."""
    if not isinstance(layer, nn.Conv3d):
        raise TypeError(f"{type(layer).__name__} is no convolution")
    k, height, width = layer.kernel_size
    held: Tensor | None = None
    for chunk in _between_zeros(chunks, k // 2):
        seen = chunk if held is None else torch.cat([held, chunk], dim=2)
        del chunk  # what is not needed while others work is let go
        held = _last(seen, k - 1)
        if seen.shape[2] >= k:
            made = convolve(seen, layer.weight, layer.get_parameter("bias"), (0, height // 2, width // 2))
            del seen
            yield made


def _between_zeros(chunks: Iterable[Chunk], count: int) -> Iterator[Chunk]:
    """Put so many frames of zeros before the first chunk and after the last."""
    zeros: Tensor | None = None
    for chunk in chunks:
        if zeros is None and count:
            zeros = torch.zeros_like(chunk[:, :, :1]).repeat(1, 1, count, 1, 1)
            yield zeros
        yield chunk
    if zeros is not None:
        yield zeros


def pooled(layer: nn.MaxPool3d, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """A pooling in windows that do not overlap; it holds the frames of the unfinished one."""
    window = layer.kernel_size if isinstance(layer.kernel_size, int) else layer.kernel_size[0]
    held: Tensor | None = None
    for chunk in chunks:
        seen = chunk if held is None else torch.cat([held, chunk], dim=2)
        rest = seen.shape[2] % window
        held = _last(seen, rest) if rest else None
        if seen.shape[2] >= window:
            yield layer(seen[:, :, : seen.shape[2] - rest])
    if held is not None and layer.ceil_mode:
        yield layer(held)


def raised(layer: nn.Module, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """An up-convolution, whose frames each write to a window of their own; or a repetition and a convolution."""
    if isinstance(layer, nn.Sequential):
        for part in layer:
            chunks = raised(part, chunks)
        return chunks
    if isinstance(layer, nn.Conv3d):
        return convolved(layer, chunks)
    if isinstance(layer, nn.Upsample) and layer.mode == "nearest":
        return map(layer, chunks)
    if isinstance(layer, nn.ConvTranspose3d) and layer.kernel_size == layer.stride:
        return map(layer, chunks)
    raise TypeError(f"{type(layer).__name__} cannot be streamed: it is no layer that raises windows one by one")


class _Skip:
    """The frames of a skip connection that wait for what comes back from below."""

    def __init__(self, wanted: bool, most: int) -> None:
        self.wanted, self.most = wanted, most
        self.waiting: deque[Tensor] = deque()

    def kept(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Pass chunks on and remember their frames; of unwanted ones the size alone, as frames without channels."""
        for chunk in chunks:
            waiting = chunk if self.wanted else chunk.new_empty((len(chunk), 0, *chunk.shape[2:]))
            self.waiting.extend(waiting[:, :, at : at + 1] for at in range(waiting.shape[2]))
            yield chunk

    def joined(self, raised: Iterable[Chunk]) -> Iterator[Chunk]:
        """Join what was raised with the frames that waited; rounding leaves too many of it at the end, or too few."""
        above = None
        for chunk in raised:
            above = chunk[:, :, :1]
            for begin in range(0, chunk.shape[2], self.most):
                if self.waiting:
                    yield self._join(chunk[:, :, begin : begin + self.most])
        if above is None and self.waiting:
            raise DataError("the video is shorter than what a network that rounds down pools away")
        while self.waiting and above is not None:
            yield self._join(torch.zeros_like(above))

    def _join(self, above: Chunk) -> Chunk:
        count = min(above.shape[2], len(self.waiting))
        skip = torch.cat([self.waiting.popleft() for _ in range(count)], dim=2)
        return torch.cat([fit(above, skip.shape[2:]), skip], dim=1)


def _last(frames: Chunk, count: int) -> Chunk:
    """Return a copy of the last frames, so that those before them can be freed."""
    return frames[:, :, max(0, frames.shape[2] - count) :].clone()
