"""Formulas of `theory` applied to a configuration and an image size. No torch."""

from dataclasses import dataclass

from theodolite.data.twins import CLASSES
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.theory import attention, memory
from theodolite.theory.attention import Nesting, linear_flops

LARGE = 4096  # px, the paper's image
PLAIN_PATCHES = (8, 16, 128)  # px


def nesting_of(config: NestedViTConfig, side: int) -> Nesting:
    """Windows and layers of the network on a square image."""
    rows, columns = attention.windows_covering(side, side, config.patch * config.window)
    return Nesting(
        rows * columns,
        config.window**2,
        config.region_tokens,
        config.stages,
        config.local_blocks,
        config.global_blocks,
    )


def plain_tokens(side: int, patch: int) -> int:
    """Tokens of a plain ViT on a square image, padded to whole patches."""
    return (-(-side // patch)) ** 2


@dataclass(frozen=True)
class Costs:
    """Work (FLOPs) and memory (bytes) for one square image.

    Attributes
    ----------
    config : NestedViTConfig
        The network.
    side : int
        Of the image, px.
    """

    config: NestedViTConfig
    side: int

    @property
    def nesting(self) -> Nesting:
        """Windows and layers."""
        return nesting_of(self.config, self.side)

    @property
    def tokens(self) -> int:
        """Patches and region tokens."""
        return self.nesting.windows * (self.nesting.patches + self.nesting.region_tokens)

    @property
    def layers(self) -> int:
        """Layers that a patch passes through."""
        return self.config.stages * self.config.local_blocks

    @property
    def patch_values(self) -> int:
        """Numbers of a patch."""
        return 3 * self.config.patch**2

    @property
    def dense_head(self) -> int:
        """FLOPs of the head that reads every patch; 0 for a label."""
        if self.config.target != "dense":
            return 0
        return linear_flops(self.nesting.windows * self.nesting.patches, self.config.width, self.config.outputs)

    @property
    def other_heads(self) -> int:
        """FLOPs of the heads that read windows, or the image's label."""
        label = 0 if self.config.target == "dense" else linear_flops(1, self.config.width, self.config.outputs)
        return linear_flops(self.nesting.windows, self.config.width, CLASSES + 1) + label

    @property
    def forward(self) -> int:
        """FLOPs of a forward pass."""
        head = self.dense_head + self.other_heads
        return attention.nested_flops(self.nesting, self.patch_values, self.config.width, head)

    @property
    def training(self) -> int:
        """FLOPs of a forward and a backward pass by ordinary autograd."""
        patches = self.nesting.windows * self.nesting.patches
        return attention.training_flops(self.forward, linear_flops(patches, self.patch_values, self.config.width))

    @property
    def chunked(self) -> int:
        """FLOPs of a forward and a backward pass by chunked recomputation."""
        return attention.chunked_training_flops(
            self.nesting, self.patch_values, self.config.width, self.dense_head, self.other_heads
        )

    @property
    def kept_ordinary(self) -> int:
        """Bytes kept for the backward pass by ordinary autograd."""
        body = memory.nested_kept_bytes(self.nesting, self.patch_values, self.config.width, self.config.heads)
        return body + self._reading(self.nesting.windows)

    @property
    def kept_chunked(self) -> int:
        """Most bytes kept at one moment by chunked recomputation, region tokens among them."""
        width, heads = self.config.width, self.config.heads
        windows = min(self.config.chunk, self.nesting.windows)
        regions = self.nesting.windows * self.config.region_tokens
        one_chunk = memory.chunk_kept_bytes(self.nesting, self.patch_values, width, heads, windows)
        among = self.config.global_blocks * memory.layer_kept_bytes(regions, width, heads)
        # the loss of a part weighs its pixels: padding counts nothing
        weights = memory.FLOAT32 * windows * self.nesting.patches * self.config.outputs * (self.dense_head > 0)
        boundary = memory.boundary_bytes(self.nesting, width)
        return boundary + max(one_chunk + self._reading(windows) + weights, among)

    def _reading(self, windows: int) -> int:
        """Bytes kept by the dense head and its loss: the logit and the truth of each pixel."""
        if self.config.target != "dense":
            return 0
        patches = windows * self.nesting.patches
        pixels = memory.FLOAT32 * 2 * patches * self.config.outputs
        return memory.reading_kept_bytes(patches, self.config.width) + pixels

    def plain(self, patch: int) -> int:
        """FLOPs of a plain ViT's forward pass, with as many layers as a patch of ours passes through."""
        head = linear_flops(1, self.config.width, self.config.outputs)
        return attention.vit_flops(plain_tokens(self.side, patch), 3 * patch**2, self.config.width, self.layers, head)
