"""The nested vision transformer: attention within windows, then among the region tokens that speak for them."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from theodolite.data.twins import CLASSES
from theodolite.nested_vit.config import NestedViTConfig

MLP_RATIO = 4


class Block(nn.Module):
    """A transformer layer, normalised before each of its two halves.

    Parameters
    ----------
    width : int
        Features a token.
    heads : int
        Attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.expand = nn.Linear(width, MLP_RATIO * width)
        self.contract = nn.Linear(MLP_RATIO * width, width)

    def forward(
        self, tokens: Float[Tensor, "sequence token width"], seen: Bool[Tensor, "sequence token"] | None = None
    ) -> Float[Tensor, "sequence token width"]:
        """Let tokens attend to the `seen` ones of their sequence (all, where None), then transform each."""
        queries, keys, values = rearrange(
            self.queries_keys_values(self.norm_attention(tokens)),
            "sequence token (three head feature) -> three sequence head token feature",
            three=3,
            head=self.heads,
        )
        mask = None if seen is None else rearrange(seen, "sequence token -> sequence 1 1 token")
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        tokens = tokens + self.project(rearrange(mixed, "sequence head token feature -> sequence token (head feature)"))
        hidden = F.gelu(self.expand(self.norm_mlp(tokens)))
        return torch.add(tokens, self.contract(hidden))


def through(
    blocks: nn.Module, tokens: Float[Tensor, "sequence token width"], seen: Bool[Tensor, "sequence token"] | None
) -> Float[Tensor, "sequence token width"]:
    """Pass tokens through a list of blocks."""
    for block in blocks.children():
        tokens = block(tokens, seen)
    return tokens


def sinusoids(
    rows: Float[Tensor, " token"], columns: Float[Tensor, " token"], width: int
) -> Float[Tensor, "token width"]:
    """Sine and cosine of both coordinates, a quarter of the width each (Vaswani et al. 2017, section 3.5)."""
    rates = 10000.0 ** -(torch.arange(width // 4, dtype=rows.dtype, device=rows.device) / (width // 4))
    angles = torch.cat((rows[:, None] * rates, columns[:, None] * rates), dim=-1)
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


def grid_positions(rows: int, columns: int, like: Tensor) -> Float[Tensor, "place width"]:
    """Sinusoids of a grid's places, row by row, of the width, type and device of `like`."""
    row = torch.arange(rows, dtype=like.dtype, device=like.device)
    column = torch.arange(columns, dtype=like.dtype, device=like.device)
    return sinusoids(row.repeat_interleave(columns), column.repeat(rows), like.shape[-1])


class Windows(NamedTuple):
    """An image batch cut into windows, row by row, image after image.

    Attributes
    ----------
    pixels : (batch · rows · columns, window², 3 · patch²) tensor
        The patches of each window; beyond the image's edge zeros.
    seen : (batch · rows · columns, region_tokens + window²) bool tensor or None
        Which tokens are real; None where all are.
    grid : (batch, rows, columns)
        Of windows.
    """

    pixels: Tensor
    seen: Tensor | None
    grid: tuple[int, int, int]


class Output(NamedTuple):
    """What the network says.

    Attributes
    ----------
    target : tensor
        Logits: (batch, height, width) for a dense target, (batch, 6) for a label.
    digits : (windows, 6) tensor
        Logits of the digits that each window holds, read in stage 1 before anything global.
    twins : (windows, 1) tensor
        Logit of a twin in the window, read right after the first global blocks.
    """

    target: Tensor
    digits: Tensor
    twins: Tensor


class NestedViT(nn.Module):
    """Local blocks within windows and global blocks over region tokens, in turn; for images of any size.

    Parameters
    ----------
    config : NestedViTConfig
        Its dimensions.
    """

    def __init__(self, config: NestedViTConfig) -> None:
        super().__init__()
        self.config = config
        width, heads = config.width, config.heads
        self.embed = nn.Linear(3 * config.patch**2, width)
        self.region = nn.Parameter(0.02 * torch.randn(config.region_tokens, width))
        self.local_blocks = nn.ModuleList(
            nn.ModuleList(Block(width, heads) for _ in range(config.local_blocks)) for _ in range(config.stages)
        )
        self.global_blocks = nn.ModuleList(
            nn.ModuleList(Block(width, heads) for _ in range(config.global_blocks)) for _ in range(config.stages)
        )
        self.norm_digits = nn.LayerNorm(width)
        self.head_digits = nn.Linear(width, CLASSES)
        self.norm_twins = nn.LayerNorm(width)
        self.head_twins = nn.Linear(width, 1)
        self.norm_target = nn.LayerNorm(width)
        self.head_target = nn.Linear(width, config.outputs)

    def forward(self, images: Float[Tensor, "batch 3 height width"] | UInt8[Tensor, "batch 3 height width"]) -> Output:
        """Say what the images show. Bytes count as 0 … 255, floats as 0 … 1."""
        windows = self.cut(images)
        patches, regions = self.within(0, *self.start(windows.pixels), windows.seen)
        digits = self.read_digits(regions)
        regions = self.among(0, regions, windows.grid)
        twins = self.read_twins(regions)
        for stage in range(1, self.config.stages):
            patches, regions = self.within(stage, patches, regions, windows.seen)
            regions = self.among(stage, regions, windows.grid)
        if self.config.target == "label":
            return Output(self.read_label(regions, windows.grid), digits, twins)
        height, width = images.shape[-2:]
        dense = self.join(self.read_dense(patches, regions), windows.grid)
        return Output(dense[:, :height, :width], digits, twins)

    def cut(self, images: Float[Tensor, "batch 3 height width"] | UInt8[Tensor, "batch 3 height width"]) -> Windows:
        """Cut images into windows of patches, padded on the right and below to whole windows."""
        batch, _, height, width = images.shape
        config = self.config
        side = config.patch * config.window
        rows, columns = -(-height // side), -(-width // side)
        padded = F.pad(images, (0, columns * side - width, 0, rows * side - height))
        pixels = rearrange(
            padded,
            "batch colour (row i p) (column j q) -> (batch row column) (i j) (colour p q)",
            row=rows,
            column=columns,
            p=config.patch,
            q=config.patch,
        )
        if padded.shape == images.shape:
            return Windows(pixels, None, (batch, rows, columns))
        down = torch.arange(rows * config.window, device=images.device) * config.patch < height
        right = torch.arange(columns * config.window, device=images.device) * config.patch < width
        seen = rearrange(down[:, None] & right, "(row i) (column j) -> (row column) (i j)", row=rows, column=columns)
        seen = F.pad(seen, (config.region_tokens, 0), value=True)
        return Windows(pixels, repeat(seen, "place token -> (batch place) token", batch=batch), (batch, rows, columns))

    def start(
        self, pixels: Float[Tensor, "window patch value"] | UInt8[Tensor, "window patch value"]
    ) -> tuple[Float[Tensor, "window patch width"], Float[Tensor, "window region width"]]:
        """Embed patches with their positions inside the window; every window begins with the same region tokens."""
        weight = self.embed.weight
        bright = pixels.to(weight.dtype) / 255 if pixels.dtype == torch.uint8 else pixels
        patches = self.embed(bright)
        places = grid_positions(self.config.window, self.config.window, weight.new_empty(0, self.config.width))
        return patches + places, repeat(self.region, "region width -> window region width", window=len(pixels))

    def within(
        self,
        stage: int,
        patches: Float[Tensor, "window patch width"],
        regions: Float[Tensor, "window region width"],
        seen: Bool[Tensor, "window token"] | None,
    ) -> tuple[Float[Tensor, "window patch width"], Float[Tensor, "window region width"]]:
        """Local blocks of a stage: each window by itself, its region tokens reading and being read."""
        tokens = torch.cat((regions, patches), dim=1)
        tokens = through(self.local_blocks[stage], tokens, seen)
        # region tokens are copied: a view would keep the whole window's memory alive
        return tokens[:, self.config.region_tokens :], tokens[:, : self.config.region_tokens].clone()

    def among(
        self, stage: int, regions: Float[Tensor, "window region width"], grid: tuple[int, int, int]
    ) -> Float[Tensor, "window region width"]:
        """Global blocks of a stage: all region tokens of an image with each other."""
        batch, rows, columns = grid
        if stage == 0:  # absolute positions enter here, so that equal windows stay equal until then
            regions = regions + grid_positions(rows, columns, regions).repeat(batch, 1)[:, None]
        tokens = rearrange(regions, "(batch place) region width -> batch (place region) width", batch=batch)
        tokens = through(self.global_blocks[stage], tokens, None)
        return rearrange(tokens, "batch (place region) width -> (batch place) region width", place=rows * columns)

    def read_digits(self, regions: Float[Tensor, "window region width"]) -> Float[Tensor, "window digit"]:
        """Logits of the digits that a window holds."""
        logits: Tensor = self.head_digits(self.norm_digits(regions).mean(dim=1))
        return logits

    def read_twins(self, regions: Float[Tensor, "window region width"]) -> Float[Tensor, "window 1"]:
        """Logit of a window holding a digit that occurs elsewhere, too."""
        logits: Tensor = self.head_twins(self.norm_twins(regions).mean(dim=1))
        return logits

    def read_label(
        self, regions: Float[Tensor, "window region width"], grid: tuple[int, int, int]
    ) -> Float[Tensor, "batch digit"]:
        """Logits of the image's labels."""
        mean = rearrange(
            self.norm_target(regions), "(batch place) region width -> batch (place region) width", batch=grid[0]
        )
        logits: Tensor = self.head_target(mean.mean(dim=1))
        return logits

    def read_dense(
        self, patches: Float[Tensor, "window patch width"], regions: Float[Tensor, "window region width"]
    ) -> Float[Tensor, "window patch pixel"]:
        """Logits of every pixel: from its patch and from what its window's region tokens learnt of the image."""
        logits: Tensor = self.head_target(self.norm_target(patches + regions.mean(dim=1, keepdim=True)))
        return logits

    def join(
        self, values: Float[Tensor, "window patch pixel"], grid: tuple[int, int, int]
    ) -> Float[Tensor, "batch height width"]:
        """Put a value a pixel back to its place in the (padded) image."""
        batch, row, column = grid
        return rearrange(
            values,
            "(batch row column) (i j) (p q) -> batch (row i p) (column j q)",
            batch=batch,
            row=row,
            column=column,
            i=self.config.window,
            p=self.config.patch,
        )
