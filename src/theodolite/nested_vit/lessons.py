"""What the twins task teaches beside its target: which digits a window holds, and whether one has a twin."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from theodolite.data.twins import CLASSES
from theodolite.nested_vit.choice import choose
from theodolite.nested_vit.dropout import Draws
from theodolite.nested_vit.gradients import losses
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.objectives import Aside, Objective, standard_loss

Lesson = Literal["digits", "twins", "target"]
LESSONS: tuple[Lesson, ...] = ("digits", "twins", "target")
DIGITS_WEIGHT = 0.3  # of each window's digits, beside the target
TWINS_WEIGHT = 0.3  # of each window's twins


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


def cross_entropy(logits: Float[Tensor, "*shape"], truth: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Mean binary cross-entropy in nats."""
    return F.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype))


def digits_loss(logits: Float[Tensor, "held digit"], truth: Truth, canvases: int) -> Float[Tensor, ""]:
    """Binary cross-entropy of the windows that hold a digit, in nats; each canvas counts alike."""
    held = truth.digits.any(dim=1)
    # a mean over all these windows would depend on which canvases are computed together
    of_canvas = held.reshape(canvases, -1)
    weight = (1 / of_canvas.sum(dim=1, keepdim=True)).expand_as(of_canvas)[of_canvas] / canvases
    of_windows = F.binary_cross_entropy_with_logits(logits, truth.digits[held].to(logits.dtype), reduction="none")
    return (weight * of_windows.mean(dim=1)).sum()


class Reader(nn.Module):
    """Logits read from the region tokens of each window.

    Parameters
    ----------
    width, outputs : int
        Features a token, and logits a window.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def forward(self, regions: Float[Tensor, "window region width"]) -> Float[Tensor, "window output"]:
        """Read the mean of the normalised tokens."""
        return torch.as_tensor(self.head(self.norm(regions).mean(dim=1)))


class Lessons(nn.Module):
    """The network, two readers of its region tokens, and their losses in one call, which is what processes average.

    Parameters
    ----------
    network : NestedViT
        What is trained.
    scratch : Path or None
        Folder for stored boundaries; None for the system's.

    Attributes
    ----------
    taught : mapping of lesson to tuple of str
        Parameters it moves, by the beginning of their names.
    digits : Reader
        Of the digits that a window holds: region tokens that left the first local blocks, before anything global.
    twins : Reader
        Of a twin in the window: region tokens that left the first global blocks.
    """

    taught: Mapping[Lesson, tuple[str, ...]] = {
        "digits": ("network.embed", "network.region", "network.local_blocks.0", "digits"),
        "twins": ("network.global_blocks.0", "twins"),
        "target": ("",),
    }

    def __init__(self, network: NestedViT, scratch: Path | None = None) -> None:
        super().__init__()
        self.network = network
        self.digits = Reader(network.num_features, CLASSES)
        self.twins = Reader(network.num_features, 1)
        self.scratch = scratch

    def forward(
        self, images: Tensor, truth: Truth, lesson: Lesson, draws: Draws | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a lesson and what to note of it."""
        if lesson == "target":
            config = self.network.config
            choice = choose(config, images.shape[2], images.shape[3], len(images))
            objective = self.objective(truth)
            found = losses(self.network, images, objective, choice.mode, choice.chunk, draws, self.scratch)
            return found.total, found.values
        loss = self._digits(images, truth, draws) if lesson == "digits" else self._twins(images, truth, draws)
        # parameters that the lesson passes over take part with a gradient of zero: processes average all of them
        rest = sum(parameter.sum() for parameter in self.parameters())
        return loss + 0 * rest, {lesson: loss}

    def said(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the target, of each window's digits and of its twins."""
        features = self.network.forward_features(images)
        return self.network.forward_head(features), self.digits(features.left[0]), self.twins(features.entered[0])

    def objective(self, truth: Truth) -> Objective:
        """Return the target and, beside it, both readers' losses."""
        config = self.network.config
        return Objective(
            standard_loss(truth.target, config.target, config.patch * config.window, self.network.num_classes),
            {
                "digits": Aside(
                    0, "local", lambda read: cross_entropy(self.digits(read), truth.digits), DIGITS_WEIGHT, self.digits
                ),
                "twins": Aside(
                    0, "global", lambda read: cross_entropy(self.twins(read), truth.twins), TWINS_WEIGHT, self.twins
                ),
            },
        )

    def _digits(self, images: Tensor, truth: Truth, draws: Draws | None) -> Tensor:
        """Stage 1's local blocks alone, on the windows that hold something; each canvas counts alike."""
        held = truth.digits.any(dim=1)
        windows = self.network.cut(images)
        seen = self.network.seen(windows, windows.all)
        dropout = self.network.dropout(windows, windows.all, self.network.drawn(len(images), draws))
        start = self.network.start(windows.tiles(windows.all)[held])
        seen_held = None if seen is None else seen[held]
        _, regions = self.network.within(0, *start, seen_held, dropout and dropout.of(held.cpu()))
        return digits_loss(self.digits(regions), truth, len(images))

    def _twins(self, images: Tensor, truth: Truth, draws: Draws | None) -> Tensor:
        """Stage 1's global blocks alone, above local ones without dropout."""
        windows = self.network.cut(images)
        with torch.no_grad():
            _, regions = self.network.begin(windows, windows.all, None)
        dropout = self.network.dropout(windows, windows.all, self.network.drawn(len(images), draws))
        return cross_entropy(self.twins(self.network.among(0, regions, windows.grid, dropout)), truth.twins)
