"""A mixture of generators, with rejection: it is called like one generator, and is exported like one."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

TRIES = 6  # candidates a sample, where some are rejected


class Judge(nn.Module):
    """The probability with which a candidate x is kept, min(1, r̂(x)/c) with r̂ an estimate of p_r/p_θ.

    A sample kept with p_r/(c·p_θ) has the density p_r, as far as r̂ is right and below c (von Neumann 1951; Azadi et
    al. 2019 take it to GANs).

    Parameters
    ----------
    network : Module
        From samples, in the units of networks, to scores (batch,); log r̂ is `slope` times the score, plus `offset`.
    slope, offset, ceiling : float
        Of log r̂, and log c.
    """

    slope: Tensor
    offset: Tensor
    ceiling: Tensor

    def __init__(self, network: nn.Module, slope: float = 1.0, offset: float = 0.0, ceiling: float = 0.0) -> None:
        super().__init__()
        self.network = network
        for name, value in (("slope", slope), ("offset", offset), ("ceiling", ceiling)):
            self.register_buffer(name, torch.tensor(float(value)))

    def log_ratio(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch"]:
        """Return log r̂ = log p̂_r/p̂_θ."""
        ratio: Tensor = self.slope * self.network(x) + self.offset
        return ratio

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch"]:
        """Return the probability of being kept."""
        return torch.exp((self.log_ratio(x) - self.ceiling).clamp(max=0))


class Blend(nn.Module):
    """Generators G₁, G₂, …, each chosen with its share; of several candidates the first that the judge keeps.

    Whatever is drawn, the same operations are done: where the last candidate is not kept either, it stands.

    Parameters
    ----------
    generators : iterable of Module
        Each from standard normal draws (batch, its latent dimensions) to samples (batch, features), in the same units.
    latent_dims : sequence of int
        How many draws each of them takes.
    shares : sequence of float
        Probabilities, which sum to 1.
    judge : Judge or None
        None keeps every candidate.
    """

    edges: Tensor

    def __init__(
        self,
        generators: Iterable[nn.Module],
        latent_dims: Sequence[int],
        shares: Sequence[float],
        judge: Judge | None = None,
    ) -> None:
        super().__init__()
        self.generators = nn.ModuleList(generators)
        self.judge = judge
        self.latent_dims, self.shares = tuple(latent_dims), tuple(shares)
        self.tries = 1 if judge is None else TRIES
        # of each try: which generator, what it is given, and whether the candidate is kept
        self.width = 2 + max(latent_dims)
        edges = torch.tensor(self.shares, dtype=torch.float64).cumsum(0)[:-1]
        self.register_buffer("edges", edges.float(), persistent=False)

    @property
    def latent_dim(self) -> int:
        """Standard normal draws that a sample takes."""
        return self.tries * self.width

    def forward(self, normal: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch features"]:
        """Generate one sample from each row of standard normal draws."""
        x, kept = self._candidate(normal[:, : self.width])
        for number in range(1, self.tries):
            candidate, keep = self._candidate(normal[:, number * self.width : (number + 1) * self.width])
            x = torch.where(kept[:, None], x, candidate)
            kept = kept | keep
        return x

    def _candidate(self, normal: Tensor) -> tuple[Tensor, Tensor]:
        """Return a candidate for each row, and whether it is kept."""
        # Φ of a normal draw is uniform on [0, 1]
        choice = torch.special.ndtr(normal[:, 0])
        x: Tensor = self.generators[0](normal[:, 2 : 2 + self.latent_dims[0]])
        for number in range(1, len(self.generators)):
            other = self.generators[number](normal[:, 2 : 2 + self.latent_dims[number]])
            x = torch.where((choice >= self.edges[number - 1])[:, None], other, x)
        if self.judge is None:
            return x, torch.ones_like(choice, dtype=torch.bool)
        return x, torch.special.ndtr(normal[:, 1]) < self.judge(x)
