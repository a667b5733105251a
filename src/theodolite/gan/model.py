"""Generator and discriminator: residual networks, of fully connected layers for vectors, convolutional for images."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from theodolite.gan.config import GANConfig
from theodolite.gan.dataset import Units
from theodolite.gan.images import ConvolutionalDiscriminator, ConvolutionalGenerator
from theodolite.gan.noise import NoisyInputs
from theodolite.gan.pyramid import suits
from theodolite.gan.sizes import WAVES, architecture

SLOPE = 0.2  # of the rectifier, for negative inputs
QUIET = 0.5  # spread of what is normal in z, for vectors: what a coin decides, a part of the data, stays decided


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
    """A linear layer in, `depth` residual blocks, a linear layer out, with an offset or without."""

    def __init__(self, inputs: int, outputs: int, width: int, depth: int, *, offset: bool = True) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, width)
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(depth)))
        self.leave = nn.Linear(width, outputs, bias=offset)

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """Map each row on its own: no row sees another."""
        outputs: Tensor = self.leave(F.leaky_relu(self.blocks(self.enter(x)), SLOPE))
        return outputs


class Bounded(nn.Module):
    """From any number to one between two edges, one pair a feature: what lies at an edge is met without aiming."""

    low: Tensor
    high: Tensor

    def __init__(self, units: Units) -> None:
        super().__init__()
        centre, half = torch.tensor(units.centre), units.grain / 2
        # half a grain beyond the least and the greatest value, which as many numbers are rounded to as to any other
        self.register_buffer("low", (units.low - half - centre) / units.scale, persistent=False)
        self.register_buffer("high", (units.high + half - centre) / units.scale, persistent=False)

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        """Bound each row."""
        return torch.lerp(self.low, self.high, torch.sigmoid(x.to(self.low.dtype)))


class Generator(nn.Module):
    """G: Z → X, in the units of `Units.standardise`; beyond the range of the data only until they are written.

    Parameters
    ----------
    body : Module
        From z to one number a feature.
    bits : int
        How many coordinates of z are ±1.
    spread : float
        Standard deviation of the other coordinates of z.
    last : Module or None
        What the body's numbers pass through: they are bounded for small scans, most of whose pixels are black or white
        to the grain, around which a linear output scatters.
    """

    def __init__(self, body: nn.Module, bits: int, spread: float = 1.0, last: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.last = last or nn.Identity()
        self.bits = bits
        self.spread = spread

    def forward(self, normal: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch features"]:
        """Generate one sample from each row of standard normal draws: z is signs, then the others, scaled."""
        z = torch.cat([torch.sign(normal[:, : self.bits]), self.spread * normal[:, self.bits :]], dim=1)
        x: Tensor = self.last(self.body(z))
        return x


Scores = Float[Tensor, "batch"]
Level = Float[Tensor, "batch one"]


def squared_slopes(scores: Scores, inputs: Float[Tensor, "batch features"]) -> Scores:
    """‖∇ₓ D(x)‖² of each row, to be descended in its turn: on real samples R1 is its mean, on generated ones R2.

    Source: Mescheder et al. (2018), eq. 9 and 10.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    return gradient.square().sum(dim=1)


class Discriminator(nn.Module):
    """The score of a sample: in the minimax game the logit of D(x); in the relativistic one only differences count."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(
        self, x: Float[Tensor, "batch features"], level: Level | None = None, sloped: bool = False
    ) -> Float[Tensor, "batch *two"]:
        """Score each row on its own, (batch,); where `sloped`, with the squared slope beside it, (batch, 2).

        The slope is taken in here because what wraps a network, for bfloat16, lets no gradient of its outputs pass.
        """
        if not sloped:
            return self._score(x, level)
        x = x.detach().requires_grad_(True)
        scores = self._score(x, level).float()
        return torch.stack([scores, squared_slopes(scores, x)], dim=1)

    def _score(self, x: Float[Tensor, "batch features"], level: Level | None) -> Scores:
        del level  # there is no noise
        score: Tensor = self.body(x)[:, 0]
        return score


class NoisyDiscriminator(Discriminator):
    """The score of a sample under noise of a known level, the log of its standard deviation; by itself the least."""

    def __init__(self, body: nn.Module, inputs: NoisyInputs) -> None:
        super().__init__(body)
        self.inputs = inputs

    def _score(self, x: Float[Tensor, "batch features"], level: Level | None) -> Scores:
        score: Tensor = self.body(self.inputs(x, level))[:, 0]
        return score


def build_generator(config: GANConfig, units: Units) -> Generator:
    """Build G for these settings and units; its weights come from torch's generator."""
    of = architecture(config, units.shape)
    if of.kind == "convolutional":
        body: nn.Module = ConvolutionalGenerator(of.latent_dim, of.pyramid)
    else:
        body = ResidualMLP(of.latent_dim, of.features, of.width, of.depth)
    bounded = of.kind == "fully-connected" and suits(units.shape) and units.grain > 0
    spread = config.spread or (QUIET if of.noisy else 1.0)
    return Generator(body, config.bits, spread, Bounded(units) if bounded else None)


def build_discriminator(config: GANConfig, units: Units) -> Discriminator:
    """Build D for these settings and units; its weights come from torch's generator."""
    of = architecture(config, units.shape)
    if of.kind == "convolutional":
        return Discriminator(ConvolutionalDiscriminator(of.pyramid))
    if not of.noisy:
        return Discriminator(ResidualMLP(of.features, 1, of.width, of.depth))
    shown = of.features + 1 + WAVES
    return NoisyDiscriminator(ResidualMLP(shown, 1, of.width, of.depth, offset=False), NoisyInputs(of.features))
