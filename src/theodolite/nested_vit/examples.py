"""One image of the user's with what is to be told of it, open to be read by windows."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from theodolite.data.image_sets import LabelledImage
from theodolite.data.large_images import LargeImage, open_image
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.objectives import BinaryPixels, ClassPixels, DenseLoss, LabelLoss
from theodolite.nested_vit.own_images import UNKNOWN
from theodolite.nested_vit.windows import WindowSource


@dataclass(frozen=True)
class MaskSource:
    """A mask that is read by windows.

    Attributes
    ----------
    image : LargeImage
        The file, opened for its numbers.
    marks : bool
        Whether 255 means class 1.
    wide : bool
        Whether numbers above 255 are classes, too.
    """

    image: LargeImage
    marks: bool
    wide: bool
    channels: int = 1

    @property
    def height(self) -> int:
        """Rows."""
        return self.image.height

    @property
    def width(self) -> int:
        """Columns."""
        return self.image.width

    def window(self, top: int, left: int, height: int, width: int) -> NDArray[Any]:
        """Classes of a rectangle: (height, width, 1), uint8, or int32 where there are more."""
        values = self.image.window(top, left, height, width)
        if self.marks:
            return (values > 0).astype(np.uint8)
        return values.astype(np.int32 if self.wide else np.uint8)


@dataclass(frozen=True)
class Example:
    """An open image and its label or its mask.

    Attributes
    ----------
    image : WindowSource
        Pixels.
    truth : MaskSource or int
        Classes of the pixels, or of the image.
    """

    image: WindowSource
    truth: MaskSource | int

    def loss(self, config: NestedViTConfig, whole: bool, device: torch.device) -> DenseLoss | LabelLoss:
        """Cross-entropy in nats: of the image, or the mean over its known pixels."""
        if not isinstance(self.truth, MaskSource):
            label = torch.tensor([self.truth], device=device)
            return lambda logits: F.cross_entropy(logits, label)
        side = config.patch * config.window
        truth: Any = [self.truth]
        if whole:
            truth = whole_of(self.truth)
        if config.num_classes == 1:
            return BinaryPixels(truth, side)
        return ClassPixels(truth[:, 0] if whole else truth, side, ignored(config))


def ignored(config: NestedViTConfig) -> int:
    """The number of pixels that count nothing."""
    return UNKNOWN if config.num_classes <= UNKNOWN else -1


def whole_of(source: WindowSource) -> Tensor:
    """A whole image as a batch of one, (1, channels, height, width)."""
    return torch.from_numpy(source.window(0, 0, source.height, source.width)).permute(2, 0, 1)[None]


@contextmanager
def opened(image: LabelledImage, config: NestedViTConfig, marks: bool) -> Iterator[Example]:
    """Open an image, and its mask where it has one."""
    with ExitStack() as files:
        pixels = files.enter_context(open_image(image.path, channels=config.channels))
        if image.mask is None:
            yield Example(pixels, image.label or 0)
        else:
            mask = files.enter_context(open_image(image.mask, labels=True))
            yield Example(pixels, MaskSource(mask, marks, config.num_classes > UNKNOWN))
