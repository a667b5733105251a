"""What the network is trained for: the target, and beside it what each window holds."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from theodolite.nested_vit.model import Output

DIGITS_WEIGHT = 0.3  # of each window's digits, beside the target
TWINS_WEIGHT = 0.3  # of each window's twins


class Losses(NamedTuple):
    """Mean binary cross-entropies, in nats: of the target, and of what each window holds."""

    target: Tensor
    digits: Tensor
    twins: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.target + DIGITS_WEIGHT * self.digits + TWINS_WEIGHT * self.twins


class Truth(NamedTuple):
    """What the network should say of a batch.

    Attributes
    ----------
    target : bool tensor
        (batch, height, width): whether a pixel belongs to a twin; or (batch, 6): which digits occur twice.
    digits : (windows, 6) bool tensor
        Which digits each window holds.
    twins : (windows, 1) bool tensor
        Whether one of them occurs twice.
    """

    target: Bool[Tensor, "batch *rest"]
    digits: Bool[Tensor, "window digit"]
    twins: Bool[Tensor, "window 1"]


def losses(output: Output, truth: Truth) -> Losses:
    """Losses of a whole output."""
    return Losses(*(cross_entropy(logits, true) for logits, true in zip(output, truth, strict=True)))


def cross_entropy(logits: Float[Tensor, "*shape"], truth: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Mean binary cross-entropy in nats."""
    return F.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype))


class PixelLoss:
    """The same mean over pixels, given window by window: parts of it that add up.

    Parameters
    ----------
    truth : (batch, height, width) bool tensor
        As in `Truth`.
    patch, window : int
        Side of a patch, px, and of a window, patches.
    """

    def __init__(self, truth: Bool[Tensor, "batch height width"], patch: int, window: int) -> None:
        side = patch * window
        self.pixels = truth.numel()
        # 0 and 1 are the truth, 2 the padding; bytes, since the whole image is held
        padding = (0, -truth.shape[2] % side, 0, -truth.shape[1] % side)
        self.codes = rearrange(
            F.pad(truth.to(torch.uint8), padding, value=2),
            "batch (row i p) (column j q) -> (batch row column) (i j) (p q)",
            i=window,
            j=window,
            p=patch,
            q=patch,
        )

    def part(self, logits: Float[Tensor, "window patch pixel"], chosen: slice) -> Float[Tensor, ""]:
        """Contribution of the chosen windows to the mean over all pixels of the batch."""
        codes = self.codes[chosen]
        real = (codes < 2).to(logits.dtype)
        truth = (codes == 1).to(logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, truth, real, reduction="sum") / self.pixels
