"""Sizes of the convolutional networks: the maps of an image from its own side down to a side of about four."""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

SMALLEST = 8  # side of an image that is halved at least once, and left a side of at least 4
LARGEST = 128
KERNEL = 3
WIDEST = 8  # times the width of the finest map: no map has more features


class Level(NamedTuple):
    """A map: its sides in pixels and its features."""

    height: int
    width: int
    features: int

    @property
    def pixels(self) -> int:
        """Pixels of the map."""
        return self.height * self.width


@dataclass(frozen=True)
class Pyramid:
    """Maps of a convolutional network, finest first; each has half the sides of the one before, rounded up.

    Attributes
    ----------
    channels : int
        Of the image.
    levels : tuple of Level
        The first has the sides of the image.
    depth : int
        Residual blocks, of two 3 × 3 convolutions, at each level but the finest, where they would cost most.
    """

    channels: int
    levels: tuple[Level, ...]
    depth: int

    @classmethod
    def of(cls, shape: tuple[int, ...], width: int, depth: int) -> "Pyramid":
        """Plan the maps for images of shape (height, width) or (height, width, channels)."""
        height, breadth = shape[:2]
        levels = [Level(height, breadth, width)]
        while min(levels[-1][:2]) >= SMALLEST:
            above = levels[-1]
            features = min(2 * above.features, WIDEST * width)
            levels.append(Level(-(-above.height // 2), -(-above.width // 2), features))
        return cls(shape[2] if len(shape) == 3 else 1, tuple(levels), depth)

    @property
    def coarsest(self) -> Level:
        """The smallest map, between which and the vector a fully connected layer stands."""
        return self.levels[-1]


def suits(shape: tuple[int, ...]) -> bool:
    """Whether samples of this shape are images that the convolutional networks take."""
    channels = shape[2] if len(shape) == 3 else 1
    return len(shape) in (2, 3) and channels <= 4 and all(SMALLEST <= side <= LARGEST for side in shape[:2])


def parameters(pyramid: Pyramid, latent_dim: int) -> tuple[int, int]:
    """Count weights and offsets of the generator and of the discriminator."""
    coarsest, finest = pyramid.coarsest, pyramid.levels[0]
    size = coarsest.pixels * coarsest.features
    image = KERNEL**2 * finest.features * pyramid.channels
    inside = sum(pyramid.depth * 2 * (KERNEL**2 * level.features + 1) * level.features for level in pyramid.levels[1:])
    # a 1 × 1 convolution without offsets changes the features between two levels
    between = sum(fine.features * coarse.features for fine, coarse in pairwise(pyramid.levels))
    generator = (latent_dim + 1) * size + inside + between + image + pyramid.channels
    return generator, image + finest.features + inside + between + size + 1


def multiplications(pyramid: Pyramid, latent_dim: int) -> tuple[int, int]:
    """Count the multiply-adds of the generator and of the discriminator for one image, those on the margin included."""
    coarsest, finest = pyramid.coarsest, pyramid.levels[0]
    size = coarsest.pixels * coarsest.features
    image = KERNEL**2 * finest.features * pyramid.channels * finest.pixels
    inside = sum(pyramid.depth * 2 * KERNEL**2 * level.features**2 * level.pixels for level in pyramid.levels[1:])
    # both networks change the features on the coarser map
    between = sum(fine.features * coarse.features * coarse.pixels for fine, coarse in pairwise(pyramid.levels))
    return latent_dim * size + inside + between + image, image + inside + between + size
