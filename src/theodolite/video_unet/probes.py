"""Measurements of a built network: it is run and watched, never counted from its settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from theodolite.video_unet.config import Size, VideoUNetConfig
from theodolite.video_unet.model import VideoUNet


def observed_shapes(network: VideoUNet, clip: Tensor) -> dict[str, str]:
    """Return the dimensions, frames×height×width×channels, of what every module returned for a clip.

    ``decoders.i.join`` is what the decoder's first convolution was given, ``decoders.i.fit`` the part of it that came
    from below; ``decoders.i.up`` is what the up-convolution, or its last part, returned.
    """
    seen: dict[str, str] = {"input": _dimensions(clip)}
    with _hooks() as handles:
        for name, part in network.named_modules():
            if not isinstance(part, (nn.Conv3d, nn.ConvTranspose3d, nn.MaxPool3d, nn.Upsample, nn.Sequential)):
                continue
            handles.append(part.register_forward_hook(_note_output(seen, name)))
            if name.startswith("decoders") and name.endswith("convolutions.0"):
                handles.append(part.register_forward_pre_hook(_note_input(seen, name.split(".convolutions")[0])))
        network(clip)
    return seen


def _note_output(seen: dict[str, str], name: str) -> Any:
    def note(part: nn.Module, given: Any, returned: Tensor) -> None:
        seen[name] = _dimensions(returned)

    return note


def _note_input(seen: dict[str, str], block: str) -> Any:
    def note(part: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen[f"{block}.join"] = _dimensions(given[0])
        raised = int(seen[f"{block}.up"].split("×")[-1])
        seen[f"{block}.fit"] = _dimensions(given[0][:, :raised])

    return note


def _dimensions(x: Tensor) -> str:
    _, channels, frames, height, width = x.shape
    return f"{frames}×{height}×{width}×{channels}"


def multiply_adds(config: VideoUNetConfig) -> int:
    """Count the multiply-adds of one clip with PyTorch's own counter, on tensors without memory."""
    with torch.device("meta"):
        network, clip = VideoUNet(config), torch.empty(1, config.channels, config.frames, config.height, config.width)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(clip)
    return int(counter.get_total_flops()) // 2


def multiply_adds_inside(config: VideoUNetConfig) -> int:
    """Count the multiply-adds of one clip that read a position of a map, not padding, by convolving ones with ones."""
    counted = 0

    def count(part: nn.Conv3d, given: tuple[Tensor, ...]) -> None:
        nonlocal counted
        ones = torch.ones(1, 1, *given[0].shape[2:], dtype=torch.float64)
        kernel = torch.ones(1, 1, *part.kernel_size, dtype=torch.float64)
        if isinstance(part, nn.ConvTranspose3d):
            read = F.conv_transpose3d(ones, kernel, stride=part.stride)
        else:
            read = F.conv3d(ones, kernel, padding=part.padding)
        counted += int(read.sum()) * part.in_channels * part.out_channels

    with torch.device("meta"):
        network, clip = VideoUNet(config), torch.empty(1, config.channels, config.frames, config.height, config.width)
    for part in network.modules():
        if isinstance(part, (nn.Conv3d, nn.ConvTranspose3d)):
            part.register_forward_pre_hook(count)
    with torch.no_grad():
        network(clip)
    return counted


def kept_bytes(config: VideoUNetConfig) -> int:
    """Bytes that autograd keeps of one clip for the backward pass, weights left out; each storage counts once."""
    kept: dict[int, Tensor] = {}

    def keep(x: Tensor) -> Tensor:
        # the tensors stay referenced, so that no address is used twice
        kept[x.untyped_storage()._cdata] = x
        return x

    with torch.device("meta"):
        network, clip = VideoUNet(config), torch.empty(1, config.channels, config.frames, config.height, config.width)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        reconstruction = network(clip)
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    del reconstruction
    return sum(x.untyped_storage().nbytes() for address, x in kept.items() if address not in weights)


def peak_bytes(config: VideoUNetConfig, batch: int) -> int:
    """Return the largest sum of bytes, weights left out, that torch's allocator held in one pass forth and back.

    On the processor, by the memory events of torch's profiler.
    """
    network, clips = VideoUNet(config), torch.rand(batch, config.channels, config.frames, config.height, config.width)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        (network(clips) - clips).square().mean().backward()
    results: Any = profiler.profiler
    events = sorted(
        (event.start_ns(), place, event.nbytes())
        for place, event in enumerate(results.kineto_results.events())
        if event.name() == "[memory]"
    )
    # the clips themselves are kept for the gradient of the first weights
    return clips.nbytes + max(accumulate(nbytes for _, _, nbytes in events), default=0)


def dead_weights(config: VideoUNetConfig) -> int:
    """Count the weights whose gradient is zero although every weight, bias and pixel is positive.

    A rectifier passes what is positive, so a gradient is zero only where no path leads from the clip, or from a bias,
    through the weight to the reconstruction.
    """
    network = _positive(config)
    clip = torch.ones(1, config.channels, config.frames, config.height, config.width, dtype=torch.float64)
    network(clip).sum().backward()
    return sum(int((weight.grad == 0).sum()) for weight in network.parameters() if weight.grad is not None)


def receptive_field(config: VideoUNetConfig, axis: int = 0) -> int:
    """Count the positions of a long clip along an axis on which one output, far from both ends, depends; the most.

    The support of a gradient through a network of the same depth and kernels with one channel, all weights positive;
    every position of one cell of pool^stages is asked.
    """
    cell, kernel = config.cell[axis], config.kernels[axis]
    # no window is longer than this: each block reaches (kernel − 1)/2 · scale a convolution
    length = 8 * (config.convs_per_stage + 1) * kernel * cell
    narrow = {"channels": 1, "base": 1, "code_channels": None, "skips": True, "rounding": "up"}
    alone = {"kernel": _written(_only(axis, kernel)), "pool": _written(_only(axis, config.pools[axis]))}
    network = _positive(config.model_copy(update=narrow | alone))
    clips = torch.ones(cell, 1, *_only(axis, length), dtype=torch.float64, requires_grad=True)
    asked = torch.arange(cell)
    network(clips).flatten(1)[asked, length // 2 // cell * cell + asked].sum().backward()
    gradient = torch.zeros_like(clips) if clips.grad is None else clips.grad
    return int((gradient > 0).sum(dim=(1, 2, 3, 4)).max())


def _written(sides: Size) -> str:
    return ",".join(map(str, sides))


def _only(axis: int, size: int) -> Size:
    """Return a size that is 1 along the other axes."""
    frames, height, width = (size if axis == each else 1 for each in range(3))
    return (frames, height, width)


class _MeanPool(nn.Module):
    """Pooling by means, in the place of pooling by maxima: every position a window holds can speak."""

    def __init__(self, window: Size, *, round_up: bool) -> None:
        super().__init__()
        self.window, self.round_up = window, round_up

    def forward(self, x: Tensor) -> Tensor:
        if self.round_up:
            short = [-size % side for size, side in zip(reversed(x.shape[2:]), reversed(self.window), strict=True)]
            x = F.pad(x, [part for missing in short for part in (0, missing)])
        return F.avg_pool3d(x, self.window)


def _positive(config: VideoUNetConfig) -> nn.Module:
    """Build the network with positive weights that sum to about 1 into each number, and pooling by means."""
    network = VideoUNet(config).double()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1.0 / max(1, parameter[0].numel()))
    for encoder in network.encoders:
        encoder.register_module("pool", _MeanPool(config.pools, round_up=config.rounding == "up"))
    return network


@contextmanager
def _hooks() -> Iterator[list[Any]]:
    """Collect the handles of hooks, and take every hook off again."""
    handles: list[Any] = []
    try:
        yield handles
    finally:
        for handle in handles:
            handle.remove()
