"""Which networks play for which samples, and what they cost, counted layer by layer."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from theodolite.gan import pyramid
from theodolite.gan.config import GANConfig
from theodolite.gan.pyramid import LARGEST, SMALLEST, Pyramid, suits
from theodolite.kernel.errors import UsageError

WIDTHS = {"fully-connected": 128, "convolutional": 16}
LAZINESS = 4  # steps of convolutional networks between penalties, which cost more than the rest of a step
WORTH_CONVOLVING = 12  # pixels a side; below, fully connected networks learn more in the same time
DEPTHS = {"fully-connected": 2, "convolutional": 1}
DEPTH_UNDER_NOISE = 1  # waves do what a further block would
WAVES = 128  # random ones that a fully connected discriminator is shown under noise


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
    noisy : bool
        Whether the discriminator is shown samples under noise, and told how much.
    """

    kind: Literal["fully-connected", "convolutional"]
    width: int
    depth: int
    shape: tuple[int, ...]
    latent_dim: int
    noisy: bool

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
        sides = ", ".join(f"{level.height} × {level.width}" for level in self.pyramid.levels[1:])
        return f"{blocks} at {sides}"


def architecture(config: GANConfig, shape: tuple[int, ...]) -> Architecture:
    """Choose the networks for samples of a shape.

    Raises
    ------
    UsageError
        If convolutional ones are asked for where samples are no images.
    """
    kind = config.network
    if kind == "convolutional" and not suits(shape):
        raise UsageError(
            f"network=convolutional needs images of {SMALLEST} to {LARGEST} pixels a side and at most 4 channels; "
            f"a sample of {config.data} has shape {shape}"
        )
    if kind == "auto":
        kind = "convolutional" if suits(shape) and min(shape[:2]) >= WORTH_CONVOLVING else "fully-connected"
    width = WIDTHS[kind] if config.width is None else config.width
    noisy = config.objective == "relativistic" and not suits(shape)
    depth = (DEPTH_UNDER_NOISE if noisy else DEPTHS[kind]) if config.depth is None else config.depth
    return Architecture(kind, width, depth, shape, config.latent_dim, noisy)


def parameters(of: Architecture) -> tuple[int, int]:
    """Count weights and offsets of the generator and of the discriminator."""
    if of.kind == "convolutional":
        return pyramid.parameters(of.pyramid, of.latent_dim)
    generator, discriminator = _linear_layers(of)
    # under noise the last layer of D has no offset: only differences of scores count
    return _weights(generator), _weights(discriminator) - of.noisy


def multiplications(of: Architecture) -> tuple[int, int]:
    """Count the multiply-adds of the generator and of the discriminator for one sample."""
    if of.kind == "convolutional":
        return pyramid.multiplications(of.pyramid, of.latent_dim)
    generator, discriminator = _linear_layers(of)
    return _products(generator), _products(discriminator) + (WAVES * of.features if of.noisy else 0)


def steps_between_penalties(config: GANConfig, of: Architecture) -> int | None:
    """How often slopes are penalised; None where they never are."""
    if config.objective != "relativistic":
        return None
    return config.penalise_every or (LAZINESS if of.kind == "convolutional" else 1)


def step_multiplications(of: Architecture, penalise_every: int | None) -> float:
    """Count the multiply-adds of one training step of both networks for one pair of samples, on average.

    Holds when: penalties come every so many steps, or never; gradients that nobody asks for are not computed.
    Source: the chain rule, layer by layer. A layer of c multiply-adds costs c forward, c for the gradient of its inputs
    and c for that of its weights. The slope of D in x costs D's inputs once, and its own gradient D's weights and
    inputs once more, but for the last layer, whose output's gradient is one whatever the weights.
    """
    generator, discriminator = multiplications(of)
    first_of_generator, first, last, waves = _ends(of)
    layers = discriminator - waves
    # D sees a real and a generated sample, whose gradients are asked for only where its slope is
    plain = 2 * (3 * layers - first + waves)
    sloped = 2 * (6 * layers - last + 4 * waves)
    own = plain if penalise_every is None else plain + (sloped - plain) / penalise_every
    # G's step: D forward on both and back to the generated one; G forward, and back to its weights
    return own + 3 * discriminator + 3 * generator - first_of_generator


def _ends(of: Architecture) -> tuple[int, int, int, int]:
    """Multiply-adds of G's first layer, of D's first and last ones, and of the waves before them."""
    if of.kind == "convolutional":
        coarsest, finest = of.pyramid.coarsest, of.pyramid.levels[0]
        size = coarsest.pixels * coarsest.features
        image = pyramid.KERNEL**2 * finest.features * of.pyramid.channels * finest.pixels
        return of.latent_dim * size, image, size, 0
    waves = WAVES * of.features if of.noisy else 0
    shown = of.features + (1 + WAVES if of.noisy else 0)
    return of.latent_dim * of.width, shown * of.width, of.width, waves


def bytes_held(of: Architecture) -> int:
    """Count the bytes of float32 weights, their gradients, Adam's two means of each, and the running average of G."""
    generator, discriminator = parameters(of)
    return 4 * (5 * generator + 4 * discriminator)


Layers = Iterable[tuple[int, int]]


def _linear_layers(of: Architecture) -> tuple[Layers, Layers]:
    """Inputs and outputs of every layer of both fully connected networks."""
    inside = [(of.width, of.width)] * (2 * of.depth)
    generator = [(of.latent_dim, of.width), *inside, (of.width, of.features)]
    shown = of.features + (1 + WAVES if of.noisy else 0)
    return generator, [(shown, of.width), *inside, (of.width, 1)]


def _weights(layers: Layers) -> int:
    return sum((inputs + 1) * outputs for inputs, outputs in layers)


def _products(layers: Layers) -> int:
    return sum(inputs * outputs for inputs, outputs in layers)
