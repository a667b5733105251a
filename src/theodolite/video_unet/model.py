"""The video U-Net: convolutions directly on frames × height × width, down and up again."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from theodolite.engine.convolution import Conv3d, ConvTranspose3d
from theodolite.video_unet.config import Size, VideoUNetConfig
from theodolite.video_unet.initial_weights import LIFT, MID_GREY, Signals, draw, draw_block, plain, see_above

Clip = Float[Tensor, "batch channels frames height width"]
Deep = Float[Tensor, "batch deep_channels deep_frames deep_height deep_width"]


class Convolutions(nn.ModuleList):
    """M convolutions that keep the size, each followed by a rectifier.

    Parameters
    ----------
    channels : list of int
        Channels before the first convolution and after each.
    kernel : (frames, rows, columns)
        Odd sides of the kernels; zeros are read outside the clip.
    """

    def __init__(self, channels: list[int], kernel: Size) -> None:
        super().__init__(Conv3d(i, o, kernel) for i, o in pairwise(channels))

    def forward(self, x: Float[Tensor, "batch c frames height width"]) -> Clip:
        """Return a map of the same size."""
        for convolution in self:
            x = convolution(x, rectified=True)
        return x


class Encoder(nn.Module):
    """One encoder block: convolutions, then pooling. Its map before pooling is the skip connection."""

    def __init__(self, channels: list[int], kernel: Size, pool: Size, *, round_up: bool) -> None:
        super().__init__()
        self.convolutions = Convolutions(channels, kernel)
        self.pool = nn.MaxPool3d(pool, ceil_mode=round_up)

    def forward(self, x: Float[Tensor, "batch c frames height width"]) -> tuple[Clip, Deep]:
        """Return the skip and the pooled map."""
        skip = self.convolutions(x)
        return skip, self.pool(skip)


class Decoder(nn.Module):
    """One decoder block: up-convolution, fitted to the skip's size, joined with the skip, then convolutions.

    Parameters
    ----------
    deep : int
        Channels of the map below.
    channels : list of int
        Channels that the up-convolution makes, and each convolution.
    kernel, pool : (frames, rows, columns)
        Sides of the kernels; by how much the map below is raised.
    resize : bool
        Repeat every position, then convolve (Odena, Dumoulin & Olah 2016): neighbours share their kernels, so that no
        checkerboard appears. Otherwise a transposed convolution whose windows do not overlap.
    skips : bool
        Join the skip.
    """

    def __init__(self, deep: int, channels: list[int], kernel: Size, pool: Size, *, resize: bool, skips: bool) -> None:
        super().__init__()
        width = channels[0]
        self.skips = skips
        self.up: nn.Module = ConvTranspose3d(deep, width, pool)
        if resize:
            repeated = nn.Upsample(scale_factor=tuple(map(float, pool)), mode="nearest")
            self.up = nn.Sequential(repeated, Conv3d(deep, width, kernel))
        self.convolutions = Convolutions([2 * width if skips else width, *channels[1:]], kernel)

    def forward(self, deep: Deep, skip: Clip) -> Clip:
        """Return a map of the skip's size; without skips only that size is taken from it."""
        up = fit(self.up(deep), skip.shape[2:])
        joined = torch.cat([up, skip], dim=1) if self.skips else up
        result: Tensor = self.convolutions(joined)
        return result


class VideoUNet(nn.Module):
    """A U-Net auto-encoder for clips of any frames, height and width ≥ 1.

    Kernels and pools are per axis. Rounding sizes down needs every side ≥ pool^stages.
    No layer looks at whole-clip statistics.

    Parameters
    ----------
    config : VideoUNetConfig
        N stages of M convolutions, channels, kernel, pooling, rounding, skips.
    """

    def __init__(self, config: VideoUNetConfig) -> None:
        super().__init__()
        m, kernel, pool = config.convs_per_stage, config.kernels, config.pools
        resize = config.up == "resize"
        widths = [config.base * 2**stage for stage in range(config.stages + 1)]
        deepest = config.code_channels or widths[-1]

        self.encoders = nn.ModuleList()
        for before, width in zip([config.channels, *widths], widths[:-1], strict=False):
            round_up = config.rounding == "up"
            self.encoders.append(Encoder([before] + [width] * m, kernel, pool, round_up=round_up))

        self.bottleneck = Convolutions([widths[-2]] + [widths[-1]] * (m - 1) + [deepest], kernel)

        self.decoders = nn.ModuleList()
        for below, width in zip([deepest, *widths[-2:0:-1]], widths[-2::-1], strict=True):
            channels = [width] * (m + 1)
            self.decoders.append(Decoder(below, channels, kernel, pool, resize=resize, skips=config.skips))

        self.head = Conv3d(widths[0], config.channels, (1, 1, 1))

        self._draw_weights(config)

    def _draw_weights(self, config: VideoUNetConfig) -> None:
        """Draw initial weights block by block, in the order of `forward`; see `initial_weights`."""
        reads, skips = plain(config.channels), []
        for encoder in self.encoders:
            reads = draw_block(encoder.get_submodule("convolutions"), reads)
            skips.append(reads)
        # without skips all that is known of a clip passes here: a pair of channels would hold one number of two
        reads = draw_block(self.bottleneck, reads, lifted=not config.skips)
        for decoder in self.decoders:
            reads, skip = _draw_up(decoder, reads), skips.pop()
            if config.skips:
                reads = torch.block_diag(reads, skip)  # type: ignore[no-untyped-call]
            reads = draw_block(decoder.get_submodule("convolutions"), reads)
        draw(self.head, reads, plain(config.channels))
        see_above(MID_GREY, self.encoders[0].get_submodule("convolutions.0"))
        if not config.skips:
            see_above(LIFT, _up_convolution(self.decoders[0]))
        # corrupted clips are corrected by what the network adds to them
        nn.init.constant_(self.head.get_parameter("bias"), MID_GREY if config.corruption == "none" else 0.0)

    def forward(self, clip: Clip) -> Clip:
        """Reconstruct clips with values in [0, 1]; the result has the same shape and is not clamped."""
        skips = []
        x = clip
        for encoder in self.encoders:
            skip, x = encoder(x)
            skips.append(skip)
        x = self.bottleneck(x)
        for decoder in self.decoders:
            x = decoder(x, skips.pop())
        reconstruction: Tensor = self.head(x)
        return reconstruction


def _up_convolution(decoder: nn.Module) -> nn.Module:
    """Return the layer with weights on the way back up."""
    up = decoder.get_submodule("up")
    return up[1] if isinstance(up, nn.Sequential) else up


def _draw_up(decoder: nn.Module, reads: Signals) -> Signals:
    """Draw an up-convolution, which nothing rectifies; return how its channels carry signals."""
    layer = _up_convolution(decoder)
    writes = plain(layer.get_parameter("bias").numel())
    draw(layer, reads, writes)
    return writes


def fit(x: Deep, size: torch.Size) -> Clip:
    """Crop the end of each axis to `size`, or pad it with zeros."""
    frames, height, width = size
    x = x[..., :frames, :height, :width]
    if x.shape[2:] == size:
        return x
    return F.pad(x, (0, width - x.shape[4], 0, height - x.shape[3], 0, frames - x.shape[2]))
