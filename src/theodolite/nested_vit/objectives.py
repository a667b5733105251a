"""What a network is trained for: a loss of its logits and, beside it, losses of region tokens on their way.

A dense loss adds up over windows, so that it can be read chunk by chunk. Every image of a batch counts alike, however
many of its pixels are to be told, so that a batch may be cut anywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from theodolite.nested_vit.windows import Windows, WindowSource

IGNORED = 255  # a pixel that counts nothing; padding is one
_COUNTED = 64  # windows of which the pixels are counted at a time


class DenseLoss(Protocol):
    """A loss of every pixel's logits, whole or window by window: two ways to one number."""

    def whole(self, logits: Float[Tensor, "batch classes height width"]) -> Float[Tensor, ""]:
        """Loss of whole maps."""

    def part(self, logits: Float[Tensor, "window classes side side"], chosen: slice) -> Float[Tensor, ""]:
        """What the chosen windows contribute to it; beyond the image logits mean nothing."""


LabelLoss = Callable[[Tensor], Tensor]
"""Loss of the logits of images, (batch, classes): any function."""


class _PixelLoss:
    """Mean over the pixels of each image that are not ignored, then over images."""

    def __init__(self, truth: Tensor | Sequence[WindowSource], side: int, ignored: int) -> None:
        self.ignored = ignored
        self.windows = Windows(truth, side)

    def whole(self, logits: Float[Tensor, "batch classes height width"]) -> Float[Tensor, ""]:
        """Loss of whole maps."""
        truth = self.windows.images
        if not isinstance(truth, Tensor):
            raise TypeError("the truth is read by windows: take the loss in parts, or give a tensor")
        return self._each(logits, truth.to(logits.device)).flatten(1).sum(dim=1) @ self._weights.to(logits)

    def part(self, logits: Float[Tensor, "window classes side side"], chosen: slice) -> Float[Tensor, ""]:
        """What the chosen windows contribute to it."""
        truth = self.windows.tiles(chosen, self.ignored).to(logits.device)
        image, _, _ = self.windows.places(chosen)
        return self._each(logits, truth).flatten(1).sum(dim=1) @ self._weights.to(logits)[image.to(logits.device)]

    def _each(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Loss of every pixel, 0 where it is ignored."""
        raise NotImplementedError

    @cached_property
    def _weights(self) -> Float[Tensor, " batch"]:
        """Share of the batch's loss that one pixel of each image has."""
        counts = [
            (self.windows.tiles(chosen, self.ignored) != self.ignored).flatten(1).sum(dim=1)
            for chosen in self.windows.chunks(_COUNTED)
        ]
        pixels = torch.cat(counts).reshape(self.windows.batch, -1).sum(dim=1)
        return 1 / (self.windows.batch * pixels.clamp(min=1).double())


class BinaryPixels(_PixelLoss):
    """Binary cross-entropy of every pixel, in nats, for each class by itself.

    Parameters
    ----------
    truth : (batch, height, width) or (batch, classes, height, width) bool or uint8 tensor, or sequence of WindowSource
        Whether a pixel belongs to a class: 0, 1, or 255 where nobody knows.
    side : int
        Of a window, px.
    """

    def __init__(
        self,
        truth: Bool[Tensor, "batch *classes height width"]
        | Integer[Tensor, "batch *classes height width"]
        | Sequence[WindowSource],
        side: int,
    ) -> None:
        if isinstance(truth, Tensor):
            truth = truth.view(torch.uint8) if truth.dtype == torch.bool else truth
            truth = truth[:, None] if truth.ndim == 3 else truth
        super().__init__(truth, side, IGNORED)

    def _each(self, logits: Tensor, truth: Tensor) -> Tensor:
        told = F.binary_cross_entropy_with_logits(logits, (truth == 1).to(logits.dtype), reduction="none")
        return told.masked_fill(truth == self.ignored, 0)


class ClassPixels(_PixelLoss):
    """Cross-entropy of every pixel over classes, in nats.

    Parameters
    ----------
    truth : (batch, height, width) integer tensor, or sequence of WindowSource with one channel
        The class of each pixel.
    side : int
        Of a window, px.
    ignored : int
        The class of pixels that count nothing; it must fit the truth's type.
    """

    def __init__(
        self, truth: Integer[Tensor, "batch height width"] | Sequence[WindowSource], side: int, ignored: int = IGNORED
    ) -> None:
        super().__init__(truth[:, None] if isinstance(truth, Tensor) else truth, side, ignored)

    def _each(self, logits: Tensor, truth: Tensor) -> Tensor:
        return F.cross_entropy(logits, truth[:, 0].long(), ignore_index=self.ignored, reduction="none")


class Aside(NamedTuple):
    """A loss of region tokens on their way, beside the target.

    Attributes
    ----------
    stage : int
        From 0.
    after : {"local", "global"}
        Whether it reads what left the local blocks of the stage or its global blocks.
    loss : function of (window, region, width) region tokens
        Windows come row by row, image after image.
    weight : float
        Beside the target's 1.
    reader : Module
        Whose parameters the loss has besides.
    """

    stage: int
    after: Literal["local", "global"]
    loss: Callable[[Tensor], Tensor]
    weight: float
    reader: nn.Module


@dataclass(frozen=True)
class Objective:
    """A loss of the logits, and losses of region tokens beside it, by name.

    Attributes
    ----------
    target : DenseLoss or LabelLoss
        Whichever the network's head asks for.
    asides : mapping of str to Aside
        What else is minimised.
    """

    target: DenseLoss | LabelLoss
    asides: Mapping[str, Aside] = field(default_factory=dict)

    def parameters(self, network: nn.Module) -> list[nn.Parameter]:
        """Trained parameters of a network and of all readers beside it, each once."""
        modules = [network, *(aside.reader for aside in self.asides.values())]
        found = (parameter for module in modules for parameter in module.parameters() if parameter.requires_grad)
        return list(dict.fromkeys(found))


class Losses(NamedTuple):
    """Values of an objective's losses by name, ``"target"`` among them, and their weighted sum, which has gradients."""

    total: Tensor
    values: dict[str, Tensor]


def standard_loss(truth: Tensor, target: str, side: int, classes: int) -> DenseLoss | LabelLoss:
    """Binary cross-entropy where pixels have one logit or images are told by several labels, else over classes.

    Parameters
    ----------
    truth : tensor
        Dense: (batch, height, width), 0 or 1 or classes. Labels: (batch, classes) bool, or (batch,) classes.
    target : {"dense", "label"}
        Of the network.
    side : int
        Of a window, px.
    classes : int
        Logits.
    """
    if target == "dense":
        return BinaryPixels(truth, side) if classes == 1 else ClassPixels(truth, side)
    if truth.ndim == 1:
        return lambda logits: F.cross_entropy(logits, truth)
    return lambda logits: F.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype))
