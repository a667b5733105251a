"""The network chunk by chunk: only region tokens are kept, and windows are computed again, or read, when needed."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from theodolite.nested_vit.boundaries import Boundaries
from theodolite.nested_vit.dropout import Draws
from theodolite.nested_vit.model import Images, NestedViT


class Recomputation:
    """One pass over a batch of images, of which region tokens are kept.

    Parameters
    ----------
    network : NestedViT
        Any.
    images : (batch, channels, height, width) tensor, or sequence of WindowSource
        Any size; pixels are read when their chunk is computed.
    chunk : int
        Windows computed at a time.
    draws : Draws or None
        Which dropout masks to draw while training; None for new ones.
    boundaries : Boundaries or None
        Where patches that left the stages are kept; None to compute them from pixels again.

    Attributes
    ----------
    left : list of (windows, region, width) tensors
        Region tokens that left the local blocks of each stage, once `forward` was called.
    entered : list of (windows, region, width) tensors
        Region tokens that left the global blocks and entered the local blocks of the next stage, or the heads.
    """

    def __init__(
        self,
        network: NestedViT,
        images: Images,
        chunk: int,
        draws: Draws | None = None,
        boundaries: Boundaries | None = None,
    ) -> None:
        self.network = network
        self.windows = network.cut(images)
        self.chunk = chunk
        self.draws = network.drawn(self.windows.batch, draws)
        self.boundaries = boundaries
        self.left: list[Tensor] = []
        self.entered: list[Tensor] = []

    def chunks(self) -> Iterator[slice]:
        """Windows, as many at a time as a chunk has."""
        return self.windows.chunks(self.chunk)

    def begin(self, chosen: slice) -> tuple[Tensor, Tensor]:
        """Patches and region tokens of the chosen windows after the first stage's local blocks."""
        return self.network.begin(self.windows, chosen, self.draws)

    def proceed(self, stage: int, chosen: slice, patches: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Local blocks of a later stage for the chosen windows."""
        return self.network.proceed(stage, self.windows, chosen, patches, regions, self.draws)

    def local(self, stage: int, chosen: slice, entering: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Patches and region tokens of the chosen windows, from their pixels up to the local blocks of a stage.

        `entering` holds the region tokens of these windows that enter stages 2, 3, … up to this one.
        """
        patches, regions = self.begin(chosen)
        for number in range(1, stage + 1):
            patches, regions = self.proceed(number, chosen, patches, entering[number - 1])
        return patches, regions

    def among(self, stage: int, regions: Tensor) -> Tensor:
        """Global blocks of a stage."""
        dropout = self.network.dropout(self.windows, self.windows.all, self.draws)
        return self.network.among(stage, regions, self.windows.grid, dropout)

    def kept(self, stage: int, chosen: slice) -> list[Tensor]:
        """What entered the stages up to this one, for the chosen windows."""
        return [tokens[chosen] for tokens in self.entered[:stage]]

    @torch.no_grad()
    def forward(self) -> None:
        """Fill `left` and `entered`, and the boundaries."""
        width, count = self.network.config.width, self.network.config.region_tokens
        for stage in range(self.network.config.stages):
            left = self.network.region.new_empty(len(self.windows), count, width)
            for chosen in self.chunks():
                left[chosen] = self._leave(stage, chosen)
            self.left.append(left)
            self.entered.append(self.among(stage, left))

    def _leave(self, stage: int, chosen: slice) -> Tensor:
        if self.boundaries is None:
            return self.local(stage, chosen, self.kept(stage, chosen))[1]
        if stage:
            before = self.boundaries.read(stage - 1, chosen), self.entered[stage - 1][chosen]
            patches, regions = self.proceed(stage, chosen, *before)
        else:
            patches, regions = self.begin(chosen)
        self.boundaries.write(stage, chosen, patches)
        return regions

    @torch.no_grad()
    def last_patches(self, chosen: slice) -> Tensor:
        """Patches of the chosen windows as the head reads them, without a graph."""
        stage = self.network.config.stages - 1
        if self.boundaries is not None:
            return self.boundaries.read(stage, chosen)
        return self.local(stage, chosen, self.kept(stage, chosen))[0]
