"""What the nested network is compared with: itself with a part taken out, and plain transformers; the same lessons."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from theodolite.data.twins import CLASSES
from theodolite.kernel.errors import UsageError
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.dropout import Draws, Dropout
from theodolite.nested_vit.lessons import (
    DIGITS_WEIGHT,
    TWINS_WEIGHT,
    Lesson,
    Lessons,
    Reader,
    Truth,
    cross_entropy,
    digits_loss,
)
from theodolite.nested_vit.model import MLP_RATIO, NestedViT
from theodolite.nested_vit.plain import PlainViT

Control = Literal["nested", "local", "pooled", "vit-8", "vit-64", "vit-128"]
CONTROLS: tuple[Control, ...] = ("nested", "local", "pooled", "vit-64", "vit-128", "vit-8")


class PooledBlock(nn.Module):
    """A transformer layer whose attention weighs all tokens alike: each is told the mean, and nothing else of them.

    Parameters
    ----------
    width : int
        Features a token.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_mean = nn.LayerNorm(width)
        self.values = nn.Linear(width, width)
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
        """Add the mean of all tokens to each, then transform each."""
        if seen is not None or dropout is not None:
            raise UsageError("the pooled control has neither masks nor dropout; leave --dropout out")
        tokens = tokens + self.project(self.values(self.norm_mean(tokens)).mean(dim=1, keepdim=True))
        return torch.add(tokens, self.contract(F.gelu(self.expand(self.norm_mlp(tokens)))))


class PlainLessons(nn.Module):
    """A plain ViT that marks pixels, taught as the nested network is: digits, then twins, then the target.

    Parameters
    ----------
    config : NestedViTConfig
        Its size, window, width and heads; the target must be dense.
    patch : int
        Side of a patch, px: it divides the image, and the window divides it or is divided by it.
    layers : (int, int, int)
        How many before digits are read, how many before twins are read, how many in all.

    Raises
    ------
    UsageError
        If the patches do not fit, or the target is not dense.
    """

    def __init__(self, config: NestedViTConfig, patch: int, layers: tuple[int, int, int]) -> None:
        super().__init__()
        side = config.patch * config.window
        if config.target != "dense" or config.size % max(patch, side) or max(patch, side) % min(patch, side):
            raise UsageError(
                f"a plain ViT-{patch} cannot mark canvases of {config.size} px by windows of {side} px; "
                f"give a dense target and a size that {max(patch, side)} divides"
            )
        self.side = side
        self.layers = layers
        self.network = PlainViT(patch, config.width, config.heads, layers[2], patch**2, config.channels)
        windows = max(1, patch // side) ** 2  # that a token covers
        self.digits = Reader(config.width, CLASSES * windows)
        self.twins = Reader(config.width, windows)
        before, between = (
            tuple(f"network.blocks.{layer}." for layer in range(*ends)) for ends in ((0, layers[0]), layers[:2])
        )
        self.taught: Mapping[Lesson, tuple[str, ...]] = {
            "digits": ("network.embed", *before, "digits"),
            "twins": (*between, "twins"),
            "target": ("",),
        }

    def forward(
        self, images: Tensor, truth: Truth, lesson: Lesson, draws: Draws | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a lesson and what to note of it; there is no dropout for `draws` to decide."""
        stages = self._stages(images)
        if lesson == "digits":
            held = truth.digits.any(dim=1)
            loss = digits_loss(self._of_windows(next(stages), self.digits)[held], truth, len(images))
            return loss, {"digits": loss}
        if lesson == "twins":
            with torch.no_grad():
                next(stages)
            loss = cross_entropy(self._of_windows(next(stages), self.twins), truth.twins)
            return loss, {"twins": loss}
        marks, digits, twins = self.said(images)
        told = {
            "target": cross_entropy(marks, truth.target[:, None]),
            "digits": cross_entropy(digits, truth.digits),
            "twins": cross_entropy(twins, truth.twins),
        }
        return told["target"] + DIGITS_WEIGHT * told["digits"] + TWINS_WEIGHT * told["twins"], told

    def said(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the pixels, of each window's digits and of its twins."""
        first, second, third = self._stages(images)
        marks = rearrange(
            self.network.head(self.network.norm(third)),
            "batch row column (p q) -> batch 1 (row p) (column q)",
            p=self.network.patch,
        )
        return marks, self._of_windows(first, self.digits), self._of_windows(second, self.twins)

    def _stages(self, images: Tensor) -> Iterator[Tensor]:
        """Maps of tokens (batch, rows, columns, width), of which digits, twins, pixels are read."""
        tokens = self.network.start(images)
        for first, last in pairwise((0, *self.layers)):
            for block in self.network.blocks[first:last]:
                tokens = block(tokens)
            yield rearrange(
                tokens, "batch (row column) width -> batch row column width", row=images.shape[-2] // self.network.patch
            )

    def _of_windows(self, tokens: Tensor, reader: Reader) -> Float[Tensor, "window output"]:
        """Logits of each window, from the tokens within it or the one it lies in; row by row, canvas after canvas."""
        if self.network.patch <= self.side:
            w = self.side // self.network.patch
            within = rearrange(tokens, "batch (row i) (column j) width -> (batch row column) (i j) width", i=w, j=w)
            return torch.as_tensor(reader(within))
        w = self.network.patch // self.side
        batch, rows, _, _ = tokens.shape
        return torch.as_tensor(
            rearrange(
                reader(tokens.flatten(0, 2)[:, None]),
                "(batch row column) (i j output) -> (batch row i column j) output",
                batch=batch,
                row=rows,
                i=w,
                j=w,
            )
        )


def taught(control: Control, config: NestedViTConfig) -> Lessons | PlainLessons:
    """Build a network of one kind, untrained, with its lessons.

    Parameters
    ----------
    control : {"nested", "local", "pooled", "vit-64", "vit-128", "vit-8"}
        The nested network; the same without its global blocks; with the mean of all region tokens given back instead
        of attention among them; or a plain ViT with patches of so many pixels. Those of 64 and 128 px have as many
        layers as the nested network has, local and global; that of 8 px has as many as a patch of it passes in its
        window.
    config : NestedViTConfig
        Of the nested network.
    """
    each = (config.local_blocks, config.global_blocks)
    if control == "vit-8":
        return PlainLessons(config, 8, (each[0], each[0] + 1, config.stages * each[0]))
    if control in ("vit-64", "vit-128"):
        return PlainLessons(config, int(control.removeprefix("vit-")), (each[0], sum(each), config.stages * sum(each)))
    network = NestedViT(config)
    if control != "nested":
        blocks = 0 if control == "local" else config.global_blocks
        network.global_blocks = nn.ModuleList(
            nn.ModuleList(PooledBlock(config.width) for _ in range(blocks)) for _ in range(config.stages)
        )
    return Lessons(network)
