"""The network chunk by chunk: only region tokens are kept, and windows are computed again when they are needed."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from theodolite.nested_vit.model import NestedViT


class Recomputation:
    """One pass over a batch of images, of which region tokens are kept.

    Parameters
    ----------
    network : NestedViT
        Any.
    images : (batch, 3, height, width) tensor
        Any size; bytes stay bytes until their chunk is computed.
    chunk : int
        Windows computed at a time.

    Attributes
    ----------
    left : list of (windows, region, width) tensors
        Region tokens that left the local blocks of each stage, once `forward` was called.
    entered : list of (windows, region, width) tensors
        Region tokens that left the global blocks and entered the local blocks of the next stage, or the heads.
    """

    def __init__(self, network: NestedViT, images: Tensor, chunk: int) -> None:
        self.network = network
        self.windows = network.cut(images)
        self.chunk = chunk
        self.left: list[Tensor] = []
        self.entered: list[Tensor] = []

    def chunks(self) -> Iterator[slice]:
        """Windows, as many at a time as a chunk has."""
        for start in range(0, len(self.windows.pixels), self.chunk):
            yield slice(start, start + self.chunk)

    def local(self, stage: int, chosen: slice, entering: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Patches and region tokens of the chosen windows, from their pixels up to the local blocks of a stage.

        `entering` holds the region tokens of these windows that enter stages 2, 3, … up to this one.
        """
        seen = None if self.windows.seen is None else self.windows.seen[chosen]
        patches, regions = self.network.start(self.windows.pixels[chosen])
        for number in range(stage + 1):
            regions = entering[number - 1] if number else regions
            patches, regions = self.network.within(number, patches, regions, seen)
        return patches, regions

    def kept(self, stage: int, chosen: slice) -> list[Tensor]:
        """What entered the stages up to this one, for the chosen windows."""
        return [tokens[chosen] for tokens in self.entered[:stage]]

    @torch.no_grad()
    def forward(self) -> None:
        """Fill `left` and `entered`."""
        for stage in range(self.network.config.stages):
            parts = [self.local(stage, chosen, self.kept(stage, chosen))[1] for chosen in self.chunks()]
            self.left.append(torch.cat(parts))
            self.entered.append(self.network.among(stage, self.left[stage], self.windows.grid))

    @torch.no_grad()
    def last_patches(self, chosen: slice) -> Tensor:
        """Patches of the chosen windows as the head reads them, without a graph."""
        stage = self.network.config.stages - 1
        return self.local(stage, chosen, self.kept(stage, chosen))[0]
