"""Generator and discriminator: residual networks, of fully connected layers for vectors, convolutional for images."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from theodolite.gan.config import GANConfig
from theodolite.gan.dataset import Units
from theodolite.gan.images import ConvolutionalDiscriminator, ConvolutionalGenerator
from theodolite.gan.sizes import architecture

SLOPE = 0.2  # of the rectifier, for negative inputs


class Residual(nn.Module):
    """x + second(rectify(first(rectify(x)))) of `width` features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        """Return x and what the block adds to it."""
        inner = self.first(F.leaky_relu(x, SLOPE))
        added: Tensor = self.second(F.leaky_relu(inner, SLOPE))
        return x + added


class ResidualMLP(nn.Module):
    """A linear layer in, `depth` residual blocks, a linear layer out."""

    def __init__(self, inputs: int, outputs: int, width: int, depth: int) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, width)
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(depth)))
        self.leave = nn.Linear(width, outputs)

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """Map each row on its own: no row sees another."""
        outputs: Tensor = self.leave(F.leaky_relu(self.blocks(self.enter(x)), SLOPE))
        return outputs


class Generator(nn.Module):
    """G: Z → X, in the units of `Units.standardise`.

    Parameters
    ----------
    body : Module
        From z to one number a feature.
    bits : int
        How many coordinates of z are ±1.
    bounds : (2, features) tensor or None
        Where samples are bounded: half a grain below the least value, and half a grain above the greatest.
    """

    bounds: Tensor | None

    def __init__(self, body: nn.Module, bits: int, bounds: Tensor | None = None) -> None:
        super().__init__()
        self.body = body
        self.bits = bits
        self.register_buffer("bounds", bounds, persistent=False)

    def forward(self, normal: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch features"]:
        """Generate one sample from each row of standard normal draws: z is their signs, then the draws themselves."""
        z = torch.cat([torch.sign(normal[:, : self.bits]), normal[:, self.bits :]], dim=1)
        x: Tensor = self.body(z)
        return x if self.bounds is None else torch.lerp(self.bounds[0], self.bounds[1], torch.sigmoid(x))


class Discriminator(nn.Module):
    """The score of a sample: in the minimax game the logit of D(x); in the relativistic one only differences count."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch"]:
        """Score each row on its own."""
        score: Tensor = self.body(x)[:, 0]
        return score


def build_generator(config: GANConfig, units: Units) -> Generator:
    """Build G for these settings and units; its weights come from torch's generator."""
    of = architecture(config, units.shape)
    body = (
        ConvolutionalGenerator(of.latent_dim, of.pyramid)
        if of.kind == "convolutional"
        else ResidualMLP(of.latent_dim, of.features, of.width, of.depth)
    )
    if not units.grain:
        return Generator(body, config.bits)
    edges = torch.tensor([[units.low - units.grain / 2], [units.high + units.grain / 2]])
    return Generator(body, config.bits, (edges - torch.tensor(units.centre)) / units.scale)


def build_discriminator(config: GANConfig, units: Units) -> Discriminator:
    """Build D for these settings and units; its weights come from torch's generator."""
    of = architecture(config, units.shape)
    if of.kind == "convolutional":
        return Discriminator(ConvolutionalDiscriminator(of.pyramid))
    return Discriminator(ResidualMLP(of.features, 1, of.width, of.depth))
