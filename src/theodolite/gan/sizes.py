"""Which networks play for which samples, and what they cost, counted layer by layer."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from theodolite.gan import pyramid
from theodolite.gan.config import GANConfig
from theodolite.gan.pyramid import Pyramid, suits

WIDTHS = {"fully-connected": 128, "convolutional": 32}
DEPTHS = {"fully-connected": 2, "convolutional": 1}


@dataclass(frozen=True)
class Architecture:
    """What both networks are built of.

    Attributes
    ----------
    kind : str
        Fully connected or convolutional.
    width : int
        Features inside, of the finest map where convolutional.
    depth : int
        Residual blocks, at each map where convolutional.
    shape : tuple of int
        Of one sample.
    latent_dim : int
        Dimensions of z.
    """

    kind: Literal["fully-connected", "convolutional"]
    width: int
    depth: int
    shape: tuple[int, ...]
    latent_dim: int

    @property
    def pyramid(self) -> Pyramid:
        """Maps of the convolutional networks."""
        return Pyramid.of(self.shape, self.width, self.depth)

    @property
    def features(self) -> int:
        """Numbers of one sample."""
        return math.prod(self.shape)

    @property
    def words(self) -> str:
        """Say what is inside either network."""
        blocks = f"{self.depth} residual block" + "s" * (self.depth != 1)
        if self.kind == "fully-connected":
            return f"{blocks} of {self.width}"
        sides = ", ".join(f"{level.height} × {level.width}" for level in self.pyramid.levels)
        return f"{blocks} at {sides}"


def architecture(config: GANConfig, shape: tuple[int, ...]) -> Architecture:
    """Choose the networks for samples of a shape: convolutional ones for images, unless the settings say otherwise."""
    kind = config.network
    if kind == "auto":
        kind = "convolutional" if suits(shape) else "fully-connected"
    width = WIDTHS[kind] if config.width is None else config.width
    depth = DEPTHS[kind] if config.depth is None else config.depth
    return Architecture(kind, width, depth, shape, config.latent_dim)


def parameters(of: Architecture) -> tuple[int, int]:
    """Count weights and offsets of the generator and of the discriminator."""
    if of.kind == "convolutional":
        return pyramid.parameters(of.pyramid, of.latent_dim)
    generator, discriminator = _linear_layers(of)
    return _weights(generator), _weights(discriminator)


def multiplications(of: Architecture) -> tuple[int, int]:
    """Count the multiply-adds of the generator and of the discriminator for one sample."""
    if of.kind == "convolutional":
        return pyramid.multiplications(of.pyramid, of.latent_dim)
    generator, discriminator = _linear_layers(of)
    return _products(generator), _products(discriminator)


Layers = Iterable[tuple[int, int]]


def _linear_layers(of: Architecture) -> tuple[Layers, Layers]:
    """Inputs and outputs of every layer of both fully connected networks."""
    inside = [(of.width, of.width)] * (2 * of.depth)
    generator = [(of.latent_dim, of.width), *inside, (of.width, of.features)]
    return generator, [(of.features, of.width), *inside, (of.width, 1)]


def _weights(layers: Layers) -> int:
    return sum((inputs + 1) * outputs for inputs, outputs in layers)


def _products(layers: Layers) -> int:
    return sum(inputs * outputs for inputs, outputs in layers)
