"""The nested vision transformer: attention within windows, then among the region tokens that speak for them."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.dropout import Draws, Dropout, fresh
from theodolite.nested_vit.windows import Windows, WindowSource, alike, brightness

MLP_RATIO = 4

Images = Shaped[Tensor, "batch channel height width"] | Sequence[WindowSource]


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
        self,
        tokens: Float[Tensor, "sequence token width"],
        seen: Bool[Tensor, "sequence token"] | None = None,
        dropout: Dropout | None = None,
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
        told = self.project(rearrange(mixed, "sequence head token feature -> sequence token (head feature)"))
        tokens = tokens + (dropout.at("attention")(told) if dropout else told)
        made = self.contract(F.gelu(self.expand(self.norm_mlp(tokens))))
        return torch.add(tokens, dropout.at("mlp")(made) if dropout else made)


def through(
    blocks: nn.Module,
    tokens: Float[Tensor, "sequence token width"],
    seen: Bool[Tensor, "sequence token"] | None,
    dropout: Dropout | None,
) -> Float[Tensor, "sequence token width"]:
    """Pass tokens through a list of blocks."""
    for layer, block in enumerate(blocks.children()):
        tokens = block(tokens, seen, dropout and dropout.at(str(layer)))
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


class Features(NamedTuple):
    """What the network knows of images before its head.

    Attributes
    ----------
    patches : (batch, rows, columns, width) tensor
        The map of patches that cover the image: ⌈height / patch⌉ rows.
    regions : (batch, window rows, window columns, region, width) tensor
        Region tokens of each window, after the last global blocks.
    left, entered : tuples of (window, region, width) tensors, one a stage
        Region tokens that left the stage's local blocks, and its global blocks; windows row by row, image after image.
    size : (height, width)
        Of the images, px.
    """

    patches: Tensor
    regions: Tensor
    left: tuple[Tensor, ...]
    entered: tuple[Tensor, ...]
    size: tuple[int, int]


class NestedViT(nn.Module):
    """Local blocks within windows and global blocks over region tokens, in turn; for images of any size.

    Nothing learned depends on the image's size: a state dict loads for any.

    Parameters
    ----------
    config : NestedViTConfig
        Its dimensions.

    Attributes
    ----------
    num_features : int
        Features a token, which the head reads.
    num_classes : int
        Logits of an image, or of a pixel.
    """

    def __init__(self, config: NestedViTConfig) -> None:
        super().__init__()
        self.config = config
        width, heads = config.width, config.heads
        self.embed = nn.Linear(config.channels * config.patch**2, width)
        self.region = nn.Parameter(0.02 * torch.randn(config.region_tokens, width))
        self.local_blocks = nn.ModuleList(
            nn.ModuleList(Block(width, heads) for _ in range(config.local_blocks)) for _ in range(config.stages)
        )
        self.global_blocks = nn.ModuleList(
            nn.ModuleList(Block(width, heads) for _ in range(config.global_blocks)) for _ in range(config.stages)
        )
        self.norm = nn.LayerNorm(width)
        self.num_features = width
        self.num_classes = config.num_classes
        self.head: nn.Module = nn.Linear(width, config.outputs)

    def get_classifier(self) -> nn.Module:
        """Return the linear map from features to logits."""
        return self.head

    def reset_classifier(self, num_classes: int, target: Literal["dense", "label"] | None = None) -> None:
        """Give the network a new head, untrained.

        Parameters
        ----------
        num_classes : int
            Logits; 0 for none: the network then returns what its head would have read.
        target : {"dense", "label"} or None
            What has them: each pixel, or the image; None keeps it.
        """
        kept = {} if target is None else {"target": target}
        self.config = self.config.model_copy(update={**kept, "classes": num_classes or None})
        self.num_classes = num_classes
        fresh_head = nn.Linear(self.num_features, self.config.outputs) if num_classes else nn.Identity()
        self.head = fresh_head.to(self.region.device, self.region.dtype)

    def forward(self, images: Images, draws: Draws | None = None) -> Tensor:
        """Say what images show.

        Parameters
        ----------
        images : (batch, channels, height, width) tensor, or sequence of `WindowSource`
            Of any size. Bytes count as 0 … 255, 16-bit integers as 0 … 65,535, other numbers as 0 … 1.
        draws : Draws or None
            Which dropout masks to draw while training; None for new ones.

        Returns
        -------
        (batch, classes) or (batch, classes, height, width) tensor
            Logits of the images, or of their pixels.
        """
        return self.forward_head(self.forward_features(images, draws))

    def forward_features(self, images: Images, draws: Draws | None = None) -> Features:
        """Return what is known of images before the head; the arguments are those of `forward`."""
        windows = self.cut(images)
        draws = self.drawn(windows.batch, draws)
        patches, regions = self.begin(windows, windows.all, draws)
        left, entered = [], []
        for stage in range(self.config.stages):
            if stage:
                patches, regions = self.proceed(stage, windows, windows.all, patches, regions, draws)
            left.append(regions)
            regions = self.among(stage, regions, windows.grid, self.dropout(windows, windows.all, draws))
            entered.append(regions)
        batch, rows, _ = windows.grid
        covering = rearrange(
            patches,
            "(batch row column) (i j) width -> batch (row i) (column j) width",
            batch=batch,
            row=rows,
            i=self.config.window,
        )[:, : -(-windows.height // self.config.patch), : -(-windows.width // self.config.patch)]
        placed = rearrange(
            regions, "(batch row column) region width -> batch row column region width", batch=batch, row=rows
        )
        return Features(covering, placed, tuple(left), tuple(entered), (windows.height, windows.width))

    def forward_head(self, features: Features, pre_logits: bool = False) -> Tensor:
        """Logits from features; with `pre_logits` what the head reads: (batch, [rows, columns,] width)."""
        if self.config.target == "label":
            read = self.norm(features.regions.flatten(1, 3)).mean(dim=1)
            return read if pre_logits else torch.as_tensor(self.head(read))
        _, rows, columns, _ = features.patches.shape
        w = self.config.window
        gist = features.regions.mean(dim=3).repeat_interleave(w, dim=1).repeat_interleave(w, dim=2)
        read = self.norm(features.patches + gist[:, :rows, :columns])
        if pre_logits or not self.num_classes:
            return torch.as_tensor(read)
        height, width = features.size
        dense: Tensor = rearrange(
            self.head(read),
            "batch row column (classes p q) -> batch classes (row p) (column q)",
            p=self.config.patch,
            q=self.config.patch,
        )
        return dense[..., :height, :width]

    def cut(self, images: Images) -> Windows:
        """Cut images into windows, none of which is read yet."""
        return Windows(images, self.config.patch * self.config.window)

    def seen(self, windows: Windows, chosen: slice) -> Bool[Tensor, "window token"] | None:
        """Which tokens of the chosen windows are real; None where all are: patches wholly beyond the image are not."""
        if windows.whole:
            return None
        _, row, column = windows.places(chosen)
        inside = torch.arange(self.config.window)
        down = (row[:, None] * self.config.window + inside) * self.config.patch < windows.height
        right = (column[:, None] * self.config.window + inside) * self.config.patch < windows.width
        patches = (down[:, :, None] & right[:, None, :]).flatten(1)
        return F.pad(patches, (self.config.region_tokens, 0), value=True).to(self.region.device)

    def drawn(self, batch: int, draws: Draws | None) -> Draws | None:
        """Return the draws of a pass that needs some."""
        if not (self.training and self.config.dropout):
            return None
        return draws or fresh(batch)

    def dropout(self, windows: Windows, chosen: slice, draws: Draws | None) -> Dropout | None:
        """Dropout for tokens of the chosen windows; None where there are no draws."""
        if draws is None:
            return None
        image, row, column = windows.places(chosen)
        return Dropout(self.config.dropout, draws, draws.images.cpu()[image], row * windows.grid[2] + column)

    def begin(
        self, windows: Windows, chosen: slice, draws: Draws | None
    ) -> tuple[Float[Tensor, "window patch width"], Float[Tensor, "window region width"]]:
        """Patches and region tokens of the chosen windows after the first local blocks; equal windows once."""
        tiles, seen = windows.tiles(chosen), self.seen(windows, chosen)
        if draws is not None:  # each window has its own dropout
            return self.within(0, *self.start(tiles), seen, self.dropout(windows, chosen, draws))
        group, first = alike(tiles, seen)
        if len(first) == len(tiles):
            return self.within(0, *self.start(tiles), seen)
        patches, regions = self.within(0, *self.start(tiles[first]), None if seen is None else seen[first])
        return patches[group], regions[group]

    def proceed(
        self,
        stage: int,
        windows: Windows,
        chosen: slice,
        patches: Float[Tensor, "window patch width"],
        regions: Float[Tensor, "window region width"],
        draws: Draws | None,
    ) -> tuple[Float[Tensor, "window patch width"], Float[Tensor, "window region width"]]:
        """Local blocks of a later stage for the chosen windows; those of one colour pass it by, where that is set."""
        seen, dropout = self.seen(windows, chosen), self.dropout(windows, chosen, draws)
        if not self.config.skip_empty or not (empty := windows.empty(chosen)).any():
            return self.within(stage, patches, regions, seen, dropout)
        if empty.all():
            return patches, regions
        (kept,) = (~empty).nonzero(as_tuple=True)
        there = kept.to(patches.device)
        made = self.within(
            stage, patches[there], regions[there], None if seen is None else seen[there], dropout and dropout.of(kept)
        )
        return patches.index_copy(0, there, made[0]), regions.index_copy(0, there, made[1])

    def start(
        self, tiles: Shaped[Tensor, "window channel side side"]
    ) -> tuple[Float[Tensor, "window patch width"], Float[Tensor, "window region width"]]:
        """Embed patches with their positions inside the window; every window begins with the same region tokens."""
        weight = self.embed.weight
        values = rearrange(
            tiles,
            "window channel (i p) (j q) -> window (i j) (channel p q)",
            p=self.config.patch,
            q=self.config.patch,
        )
        patches = self.embed(brightness(values, weight))
        places = grid_positions(self.config.window, self.config.window, weight.new_empty(0, self.config.width))
        return patches + places, repeat(self.region, "region width -> window region width", window=len(tiles))

    def within(
        self,
        stage: int,
        patches: Float[Tensor, "window patch width"],
        regions: Float[Tensor, "window region width"],
        seen: Bool[Tensor, "window token"] | None,
        dropout: Dropout | None = None,
    ) -> tuple[Float[Tensor, "window patch width"], Float[Tensor, "window region width"]]:
        """Local blocks of a stage: each window by itself, its region tokens reading and being read."""
        tokens = torch.cat((regions, patches), dim=1)
        tokens = through(self.local_blocks[stage], tokens, seen, dropout and dropout.at(f"local {stage}"))
        # region tokens are copied: a view would keep the whole window's memory alive
        return tokens[:, self.config.region_tokens :], tokens[:, : self.config.region_tokens].clone()

    def among(
        self,
        stage: int,
        regions: Float[Tensor, "window region width"],
        grid: tuple[int, int, int],
        dropout: Dropout | None = None,
    ) -> Float[Tensor, "window region width"]:
        """Global blocks of a stage: all region tokens of an image with each other."""
        batch, rows, columns = grid
        if stage == 0:  # absolute positions enter here, so that equal windows stay equal until then
            regions = (
                regions + self.config.place_scale * grid_positions(rows, columns, regions).repeat(batch, 1)[:, None]
            )
        tokens = rearrange(regions, "(batch place) region width -> batch (place region) width", batch=batch)
        tokens = through(self.global_blocks[stage], tokens, None, dropout and dropout.at(f"global {stage}"))
        return rearrange(tokens, "batch (place region) width -> (batch place) region width", place=rows * columns)

    def read_label(
        self, regions: Float[Tensor, "window region width"], grid: tuple[int, int, int]
    ) -> Float[Tensor, "batch classes"]:
        """Logits of the images from the region tokens of their windows."""
        tokens = rearrange(regions, "(batch place) region width -> batch (place region) width", batch=grid[0])
        return torch.as_tensor(self.head(self.norm(tokens).mean(dim=1)))

    def read_dense(
        self, patches: Float[Tensor, "window patch width"], regions: Float[Tensor, "window region width"]
    ) -> Float[Tensor, "window classes side side"]:
        """Logits of every pixel: from its patch and from what its window's region tokens learnt of the image."""
        logits: Tensor = rearrange(
            self.head(self.norm(patches + regions.mean(dim=1, keepdim=True))),
            "window (i j) (classes p q) -> window classes (i p) (j q)",
            i=self.config.window,
            p=self.config.patch,
            q=self.config.patch,
        )
        return logits

    def join(
        self, tiles: Shaped[Tensor, "window classes side side"], windows: Windows
    ) -> Shaped[Tensor, "batch classes height width"]:
        """Put windows back to their places in the image, and leave the padding away."""
        batch, rows, columns = windows.grid
        whole = rearrange(
            tiles,
            "(batch row column) classes p q -> batch classes (row p) (column q)",
            batch=batch,
            row=rows,
            column=columns,
        )
        return whole[..., : windows.height, : windows.width]
