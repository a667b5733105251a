"""3-D convolutions that are right in bfloat16 on processors, too; in any other precision or place they are torch's own.

Torch 2.13 errs there without a word. With AMX, weight gradients are noise or not a number where one frame of all
channels outgrows a cache (96 channels of 32 × 33, 256 of 16 × 31), transposed or not, and so is the output for one
frame and an odd number of channels; without AMX, weight gradients are noise where frames are few beside taps in time.
2-D convolutions are right. So taps that no frame meets are left out here, and a weight gradient is taken tap by tap in
time: each is that of a 2-D convolution, whose batch is all frames that the tap meets.
"""

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Size = tuple[int, int, int]

_FUSED = hasattr(torch.ops.mkldnn, "_convolution_pointwise")  # it is for torch's own compiler, and may go


class Conv3d(nn.Conv3d):
    """A 3-D convolution with odd kernel sides, that keeps the size.

    Parameters
    ----------
    in_channels, out_channels : int
        Before and after.
    kernel : (frames, rows, columns)
        Odd sides; zeros are read outside the map.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: Size) -> None:
        frames, rows, columns = kernel
        super().__init__(in_channels, out_channels, kernel, padding=(frames // 2, rows // 2, columns // 2))

    def forward(self, x: Tensor, *, rectified: bool = False) -> Tensor:
        """Convolve (batch, channels, frames, height, width), and set what is negative to 0 where that is asked for."""
        if not narrow(x):
            y = convolve(x, self.weight, self.get_parameter("bias"), self.padding)
        elif rectified and not torch.is_grad_enabled() and _FUSED:
            return _convolved_and_rectified(x, self)
        else:
            y = _apply(_Convolved, x, self)
        return F.relu(y, inplace=True) if rectified else y


class ConvTranspose3d(nn.ConvTranspose3d):
    """A transposed 3-D convolution whose windows do not overlap.

    Parameters
    ----------
    in_channels, out_channels : int
        Before and after.
    window : (frames, rows, columns)
        What each position becomes: kernel and stride.
    """

    def __init__(self, in_channels: int, out_channels: int, window: Size) -> None:
        super().__init__(in_channels, out_channels, kernel_size=window, stride=window)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Raise (batch, channels, frames, height, width)."""
        if output_size is not None or not narrow(x):
            return super().forward(x, output_size)
        return _apply(_Raised, x, self)


def narrow(x: Tensor) -> bool:
    """Whether a layer computes on it in bfloat16 on a processor."""
    if x.device.type != "cpu":
        return False
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") == torch.bfloat16
    return x.dtype == torch.bfloat16


def convolve(x: Tensor, weight: Tensor, bias: Tensor, padding: Any) -> Tensor:
    """Convolve with stride 1; where nothing is trained, sums run in one order however few the frames are.

    Left to itself torch gives small maps of one clip to another library, which adds up in another order, and slower.
    """
    direct = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32 and not torch.is_grad_enabled()
    there = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled  # type: ignore[no-untyped-call]
    if direct and there:
        ones = [1, 1, 1]
        return torch.mkldnn_convolution(x, weight, bias, padding, ones, ones, 1)
    return F.conv3d(x, weight, bias, padding=padding)


def _operands(x: Tensor, layer: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Return input, weights and bias in bfloat16, in the layout in which nothing is reordered between layers."""
    last = torch.channels_last_3d
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    return x.to(torch.bfloat16, memory_format=last), weight.to(torch.bfloat16), bias.to(torch.bfloat16)


def _apply(function: Any, x: Tensor, layer: nn.Module) -> Tensor:
    result: Tensor = function.apply(*_operands(x, layer))
    return result


def _convolved_and_rectified(x: Tensor, layer: nn.Module) -> Tensor:
    """Both in one pass over memory. What is not a number becomes 0, as it must not in training."""
    x, weight, bias = _operands(x, layer)
    met, padding = _met(x, weight)
    ones = [1, 1, 1]
    result: Tensor = torch.ops.mkldnn._convolution_pointwise(x, met, bias, padding, ones, ones, 1, "relu", [], "")
    return result


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        met, padding = _met(x, weight)
        return F.conv3d(x, met, bias, padding=padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        below = None
        if ctx.needs_input_grad[0]:
            met, padding = _met(x, weight)
            below, _, _ = _gradients(gradient, x, met, padding, of_input=True)
        return below, *_weight_gradients(gradient, x, weight)


class _Raised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv_transpose3d(x, weight, bias, stride=weight.shape[2:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # windows do not overlap: each position's window is its own product with the weights
        x, weight = ctx.saved_tensors
        positions = rearrange(x, "n c t h w -> (n t h w) c")
        axes = dict(zip(("i", "j", "k"), weight.shape[2:], strict=True))
        windows = rearrange(gradient, "n o (t i) (h j) (w k) -> (n t h w) (i j k o)", **axes)
        weights = rearrange(weight, "c o i j k -> c (i j k o)")
        sizes = dict(zip(("n", "t", "h"), (len(x), *x.shape[2:4]), strict=True))
        below = rearrange(windows @ weights.T, "(n t h w) c -> n c t h w", **sizes)
        above = rearrange(positions.T @ windows, "c (i j k o) -> c o i j k", **axes)
        sums = rearrange(windows.sum(dim=0, dtype=torch.float32), "(w o) -> w o", o=weight.shape[1])
        return below, above, sums.sum(dim=0).to(x.dtype)


def _met(x: Tensor, weight: Tensor) -> tuple[Tensor, list[int]]:
    """Return the taps in time that some frame meets, and the padding that they need."""
    middle = weight.shape[2] // 2
    reach = min(middle, x.shape[2] - 1)
    return weight[:, :, middle - reach : middle + reach + 1], [reach, weight.shape[3] // 2, weight.shape[4] // 2]


def _weight_gradients(gradient: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    met, (reach, *padding) = _met(x, weight)
    # clips one after the other, with frames of zeros between them, are one clip
    images, made = (_images(each, reach if len(x) > 1 else 0) for each in (x, gradient))
    taps = []
    for tap in range(-reach, reach + 1):
        begin, end = max(0, -tap), len(images) - max(0, tap)
        given = made[begin:end], images[begin + tap : end + tap], met[:, :, reach + tap]
        taps.append(_gradients(*given, padding)[1:])
    unmet = [torch.zeros_like(weight[:, :, 0])] * (weight.shape[2] // 2 - reach)
    return torch.stack([*unmet, *(each for each, _ in taps), *unmet], dim=2), taps[reach][1]


def _images(maps: Tensor, gap: int) -> Tensor:
    """Return (batch · frames, channels, height, width), with so many frames of zeros after each clip."""
    clips = rearrange(maps, "n c t h w -> n t h w c")
    if gap:
        clips = torch.cat([clips, clips.new_zeros(len(clips), gap, *clips.shape[2:])], dim=1)
    return rearrange(clips, "n t h w c -> (n t) c h w")


def _gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, padding: list[int], *, of_input: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient of a convolution's input; otherwise those of its weights and its bias."""
    ones, zeros = [1] * len(padding), [0] * len(padding)
    wanted = [of_input, not of_input, not of_input]
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient, x, weight, [len(weight)], ones, padding, ones, False, zeros, 1, wanted
    )
    return found
