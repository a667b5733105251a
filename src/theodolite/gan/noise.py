"""Noise on what the discriminator sees: from the spread of the data down to how far apart neighbours are."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from theodolite.gan.sizes import WAVES

GREATEST = 1.0  # spread of the data: with as much noise, parts of them are joined
FIRST = 0.5  # least noise at the start, where a generator that is still wrong overlaps the data
SETTLED = 0.8  # share of the steps after which the least noise is the final one
FINEST, COARSEST = 0.01, 0.1  # that a final least noise may be
NEIGHBOUR = 16  # whose distance says how much noise hides no detail that so many samples can show
DROWNED = 0.01  # share of a wave that tells nothing: its weights would follow rounding alone
ASKED = 1024  # samples whose neighbours are looked for
BLOCK = 16_384  # samples among which they are looked for at once


def least_noise(samples: Float[Tensor, "count features"]) -> float:
    """Standard deviation of noise that blurs nothing which the samples resolve: how far apart neighbours are.

    The median distance to the `NEIGHBOUR`-th neighbour, divided by the root of the number of features.

    Parameters
    ----------
    samples : (count, features) tensor
        In units of their spread; repeated ones count once.

    Returns
    -------
    float
        Between `FINEST` and `COARSEST`.
    """
    distinct = torch.unique(samples, dim=0)
    asked = distinct[torch.linspace(0, len(distinct) - 1, min(ASKED, len(distinct)), dtype=torch.float64).long()]
    among = min(NEIGHBOUR, len(distinct) - 1) + 1  # each is its own nearest
    nearest = torch.empty(len(asked), 0)
    for block in torch.split(distinct, BLOCK):
        # by differences: what near ones are apart would drown in products of float32
        apart = torch.cdist(asked, block, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = torch.cat([nearest, apart], dim=1)
        nearest = nearest.topk(min(among, nearest.shape[1]), largest=False).values
    distance = float(nearest[:, -1].median()) / math.sqrt(samples.shape[1])
    return min(max(distance, FINEST), COARSEST)


def lowest_level(progress: float, least: float) -> float:
    """Log of the least noise after a share `progress` of the steps: it falls evenly on this scale, then stays."""
    settled = min(1.0, progress / SETTLED)
    return (1 - settled) * math.log(FIRST) + settled * math.log(least)


class Waves(nn.Module):
    """√2 cos(w·x + b) of random directions w/‖w‖, ‖w‖ from 1 to the inverse of the least noise, even on a log scale.

    Under noise of standard deviation σ each keeps exp(−‖w‖²σ²/2) of its size on average, and no more is passed on.
    Source: Rahimi & Recht (2007), algorithm 1; the share kept is the normal distribution's characteristic function.
    """

    directions: Tensor
    phases: Tensor
    heights: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        directions = torch.randn(WAVES, features)
        self.register_buffer("directions", directions / directions.norm(dim=1, keepdim=True))
        self.register_buffer("phases", 2 * math.pi * torch.rand(WAVES))
        self.register_buffer("heights", torch.linspace(0, 1, WAVES), persistent=False)

    def forward(
        self, x: Float[Tensor, "batch features"], level: Float[Tensor, "batch one"], least: Float[Tensor, ""]
    ) -> Float[Tensor, "batch waves"]:
        """Return the waves at x, under noise whose log is `level`, of which `least` is the log of the least."""
        lengths = torch.exp(-least * self.heights)
        waves = torch.cos(nn.functional.linear(x, self.directions) * lengths + self.phases)
        left = torch.exp((-0.5 * (lengths * torch.exp(level)).square()).clamp(min=math.log(DROWNED) - 1))
        # zero, as numbers below the normal range of float32 would take twice the time
        return math.sqrt(2) * waves * nn.functional.threshold(left, DROWNED, 0.0)


class NoisyInputs(nn.Module):
    """What a discriminator is given of x and of the noise on it: x at a spread of 1, the level, and waves.

    Attributes
    ----------
    least : () tensor
        Log of the least noise, kept among the weights; x alone is taken for x with so much noise.
    """

    least: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.waves = Waves(features)
        self.register_buffer("least", torch.tensor(math.log(FINEST)))

    def forward(
        self, x: Float[Tensor, "batch features"], level: Float[Tensor, "batch one"] | None = None
    ) -> Float[Tensor, "batch inputs"]:
        """Return the inputs of the discriminator's first layer."""
        if level is None:
            level = self.least.expand(x.shape[0], 1)  # len(x) would fix the batch of an exported program
        standard = x * torch.rsqrt(1 + torch.exp(2 * level))
        return torch.cat([standard, 1 - 2 * level / self.least, self.waves(x, level, self.least)], dim=1)
