"""Dropout whose masks are a function of seed, step, image, window and layer: the same however a pass is cut."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from theodolite.engine import sampling

LEVELS = 2**16  # a mask takes 16 random bits a number: rates are rounded to 1/65,536


class Draws(NamedTuple):
    """Which random draws a pass makes.

    Attributes
    ----------
    seed, step : int
        Of the run; see `engine.sampling`.
    images : (batch,) int64 tensor
        Number of each image.
    """

    seed: int
    step: int
    images: Int[Tensor, " batch"]


def fresh(batch: int) -> Draws:
    """Draws that were never made before, from torch's own generator: what ``torch.manual_seed`` repeats."""
    return Draws(int(torch.randint(2**62, ())), 0, torch.arange(batch))


@dataclass(frozen=True)
class Dropout:
    """Sets numbers to zero with probability `rate` and scales the rest, so that means stay.

    Attributes
    ----------
    rate : float
        In [0, 1).
    draws : Draws
        Which pass it is.
    images, places : (window,) int64 tensors
        Number of each window's image, and of the window within it.
    stream : str
        Stage and layer.
    """

    rate: float
    draws: Draws
    images: Tensor
    places: Tensor
    stream: str = ""

    def at(self, name: str) -> "Dropout":
        """Return the dropout of a part of this one's network."""
        return replace(self, stream=f"{self.stream} {name}")

    def of(self, chosen: Tensor) -> "Dropout":
        """Return the dropout of some of these windows."""
        return replace(self, images=self.images[chosen], places=self.places[chosen])

    def __call__(self, x: Float[Tensor, "sequence token width"]) -> Float[Tensor, "sequence token width"]:
        """Drop numbers of tokens that lie window after window, be a sequence one window or many."""
        windows = len(self.images)
        dropped = self._bits(x.numel() // windows, x.device) < round(self.rate * LEVELS)
        return x.masked_fill(dropped.view(x.shape), 0) * (LEVELS / (LEVELS - round(self.rate * LEVELS)))

    def _bits(self, count: int, device: torch.device) -> Tensor:
        """Draw `count` numbers of 16 bits for each window."""
        first, second = sampling.words(
            self.draws.seed, self.draws.step, torch.zeros(1, dtype=torch.int64), self.stream, 2
        )[0].tolist()
        blocks = torch.arange(-(-count // 8), device=device).expand(len(self.images), -1)
        place, image = (each.to(device)[:, None].expand_as(blocks) for each in (self.places, self.images))
        words = torch.stack(sampling.philox((blocks, place, image, torch.zeros_like(blocks)), (first, second)), dim=-1)
        halves = torch.stack((words % LEVELS, words // LEVELS), dim=-1)
        return halves.flatten(1)[:, :count]
