"""The usual vision transformer, of the same layers: the baseline that costs are compared with."""

import torch
from einops import rearrange
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from theodolite.nested_vit.model import Block, grid_positions
from theodolite.nested_vit.windows import brightness


class PlainViT(nn.Module):
    """Attention among all patches of an image (Dosovitskiy et al. 2021), without a class token.

    Parameters
    ----------
    patch : int
        Side of a patch, px; it must divide the image's sides.
    width, heads, layers : int
        Features a token, attention heads, transformer layers.
    outputs : int
        Logits, read from the mean token.
    channels : int
        Numbers a pixel.
    """

    def __init__(self, patch: int, width: int, heads: int, layers: int, outputs: int, channels: int = 3) -> None:
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(channels * patch**2, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def forward(self, images: Shaped[Tensor, "batch channel height width"]) -> Float[Tensor, "batch output"]:
        """Logits of images whose sides the patch divides."""
        tokens = self.start(images)
        for block in self.blocks:
            tokens = block(tokens)
        return torch.as_tensor(self.head(self.norm(tokens).mean(dim=1)))

    def start(self, images: Shaped[Tensor, "batch channel height width"]) -> Float[Tensor, "batch patch width"]:
        """Embed the patches with their positions."""
        rows, columns = images.shape[-2] // self.patch, images.shape[-1] // self.patch
        patches = rearrange(images, "batch colour (i p) (j q) -> batch (i j) (colour p q)", p=self.patch, q=self.patch)
        tokens = self.embed(brightness(patches, self.embed.weight))
        return torch.add(tokens, grid_positions(rows, columns, tokens))
