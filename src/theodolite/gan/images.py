"""Convolutional generator and discriminator for images: residual blocks on a pyramid of maps, no batch statistics."""

import math
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from theodolite.gan.pyramid import KERNEL, Level, Pyramid

SLOPE = 0.2  # of the rectifier, for negative inputs
QUIET = 0.1  # share of the usual spread at which the second convolution of a block starts, so that blocks add little


RECTIFIED = math.sqrt(2 / (1 + SLOPE**2))  # what the rectifier takes of the spread


def _start(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> None:
    """Draw weights that keep the spread of the inputs times `gain` (He et al. 2015, eq. 15)."""
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))


class ConvolutionalResidual(nn.Module):
    """x + second(rectify(first(rectify(x)))) of `features` maps; sides are kept.

    Source: He et al. (2016), the order of eq. 5; without normalisation, as Huang et al. (2024) have it.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(features, features, KERNEL, padding="same")
        self.second = nn.Conv2d(features, features, KERNEL, padding="same")
        _start(self.first, RECTIFIED)
        _start(self.second, QUIET * RECTIFIED)

    def forward(self, x: Float[Tensor, "batch features height width"]) -> Float[Tensor, "batch features height width"]:
        """Return x and what the block adds to it."""
        inner = self.first(F.leaky_relu(x, SLOPE))
        added: Tensor = self.second(F.leaky_relu(inner, SLOPE))
        return x + added


def _start_ends(enter: nn.Conv2d | nn.Linear, between: nn.ModuleList, leave: nn.Conv2d | nn.Linear) -> None:
    """Start the layers outside of the blocks: only the last one sees what was rectified."""
    for layer in (enter, *between):
        _start(layer)
    _start(leave, RECTIFIED)


def _blocks(level: Level, depth: int) -> nn.Sequential:
    return nn.Sequential(*(ConvolutionalResidual(level.features) for _ in range(depth)))


class ConvolutionalGenerator(nn.Module):
    """From z to an image: a linear layer to the coarsest map, then blocks and twice the sides, level by level."""

    def __init__(self, latent_dim: int, pyramid: Pyramid) -> None:
        super().__init__()
        self.levels = pyramid.levels[::-1]
        self.enter = nn.Linear(latent_dim, pyramid.coarsest.pixels * pyramid.coarsest.features)
        self.blocks = nn.ModuleList(_blocks(level, pyramid.depth) for level in self.levels[:-1])
        self.narrow = nn.ModuleList(
            nn.Conv2d(coarse.features, fine.features, 1, bias=False) for coarse, fine in pairwise(self.levels)
        )
        self.leave = nn.Conv2d(pyramid.levels[0].features, pyramid.channels, KERNEL, padding="same")
        _start_ends(self.enter, self.narrow, self.leave)

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch pixels"]:
        """Generate one image a row, its pixels in the order (height, width, channels)."""
        height, width, features = self.levels[0]
        x = self.enter(z).view(-1, features, height, width)
        for blocks, narrow, (height, width, _) in zip(self.blocks, self.narrow, self.levels[1:], strict=True):
            x = F.interpolate(narrow(blocks(x)), size=(height, width), mode="bilinear")
        image: Tensor = self.leave(F.leaky_relu(x, SLOPE))
        return image.permute(0, 2, 3, 1).flatten(1)


class ConvolutionalDiscriminator(nn.Module):
    """From an image to its score: blocks and half the sides, level by level, then a linear layer."""

    def __init__(self, pyramid: Pyramid) -> None:
        super().__init__()
        self.levels, self.channels = pyramid.levels, pyramid.channels
        self.enter = nn.Conv2d(pyramid.channels, pyramid.levels[0].features, KERNEL, padding="same")
        self.blocks = nn.ModuleList(_blocks(level, pyramid.depth) for level in self.levels[1:])
        self.widen = nn.ModuleList(
            nn.Conv2d(fine.features, coarse.features, 1, bias=False) for fine, coarse in pairwise(self.levels)
        )
        self.leave = nn.Linear(pyramid.coarsest.pixels * pyramid.coarsest.features, 1)
        _start_ends(self.enter, self.widen, self.leave)

    def forward(self, pixels: Float[Tensor, "batch pixels"]) -> Float[Tensor, "batch one"]:
        """Score one image a row, its pixels in the order (height, width, channels)."""
        height, width, _ = self.levels[0]
        x = self.enter(pixels.view(-1, height, width, self.channels).permute(0, 3, 1, 2))
        for widen, blocks in zip(self.widen, self.blocks, strict=True):
            # a side that is odd keeps its last row, averaged over what is there
            x = blocks(widen(F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)))
        score: Tensor = self.leave(F.leaky_relu(x, SLOPE).flatten(1))
        return score
