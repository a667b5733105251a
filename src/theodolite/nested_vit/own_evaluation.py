"""What a network says of the user's images, read by windows, beside the truth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from theodolite.data.image_sets import LabelledImage
from theodolite.nested_vit.choice import USUAL_CHUNK
from theodolite.nested_vit.evaluation import as_it_is_used, ratio
from theodolite.nested_vit.examples import Example, MaskSource, ignored, opened
from theodolite.nested_vit.model import Images, NestedViT
from theodolite.nested_vit.recompute import Recomputation
from theodolite.nested_vit.windows import Windows
from theodolite.theory.coverage import clopper_pearson_lower, clopper_pearson_upper
from theodolite.theory.gaussian import NORMAL_95

TWO_SIDED = 0.975  # confidence of each end of a 95% interval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """Counts of pixels, or of whole images, for each measured image and class.

    Attributes
    ----------
    dense : bool
        Whether pixels are counted.
    losses : ndarray of shape (images,)
        Cross-entropy in nats.
    hits, said, true : ndarrays of shape (images, classes)
        Of a class: named right, named, and there.
    """

    dense: bool
    losses: Floats
    hits: Floats
    said: Floats
    true: Floats

    def loss(self) -> tuple[float, float]:
        """Mean loss, and the half-width of its 95% interval."""
        count = len(self.losses)
        error = self.losses.std(ddof=1) / np.sqrt(count) if count > 1 else np.inf
        return float(self.losses.mean()), float(NORMAL_95 * error)

    def accuracy(self) -> tuple[float, float, float]:
        """Share of pixels or images named right, and its 95% interval.

        Images are independent trials (Clopper and Pearson); pixels are not, so that images are what varies (delta
        method).
        """
        hits, all_of = self.hits.sum(axis=1), self.true.sum(axis=1)
        return _interval(hits, all_of) if self.dense else _exact(int(hits.sum()), len(hits))

    def mean_iou(self) -> tuple[float, float, float]:
        """Mean over classes of intersection over union, over all pixels, and its 95% interval (delta method)."""
        union = self.said + self.true - self.hits
        there = union.sum(axis=0) > 0
        hits, union = self.hits[:, there], union[:, there]
        ratios = hits.sum(axis=0) / union.sum(axis=0)
        # how much each image moves the mean of the ratios
        moves = ((hits - ratios * union) / union.mean(axis=0)).mean(axis=1)
        error = NORMAL_95 * moves.std(ddof=1) / np.sqrt(len(moves)) if len(moves) > 1 else np.inf
        return _within(float(ratios.mean()), float(error))

    def headline(self) -> tuple[float, float, float]:
        """Mean intersection over union of pixels, or accuracy of images, and its interval."""
        return self.mean_iou() if self.dense else self.accuracy()

    def of_class(self, number: int) -> tuple[float, float, float]:
        """Of one class: intersection over union, or share of its images named right, and its interval."""
        hits, true = self.hits[:, number], self.true[:, number]
        if self.dense:
            return _interval(hits, self.said[:, number] + true - hits)
        return _exact(int(hits.sum()), int(true.sum()))


def _exact(hits: int, count: int) -> tuple[float, float, float]:
    if not count:
        return 0.0, 0.0, 1.0
    ends = clopper_pearson_lower(hits, count, TWO_SIDED), clopper_pearson_upper(hits, count, TWO_SIDED)
    return hits / count, float(ends[0]), float(ends[1])


def _interval(hits: Floats, all_of: Floats) -> tuple[float, float, float]:
    if len(hits) < 2 or not all_of.sum():
        return float(hits.sum() / max(all_of.sum(), 1)), 0.0, 1.0
    return _within(*ratio(hits, all_of))


def _within(value: float, error: float) -> tuple[float, float, float]:
    return value, max(value - error, 0.0), min(value + error, 1.0)


class Pass:
    """One image through a network, chunk by chunk: only region tokens are held.

    Parameters
    ----------
    network : NestedViT
        In evaluation.
    images : (1, channels, height, width) tensor, or sequence of one WindowSource
        Any size.
    chunk : int or None
        Windows at a time; None for the usual number.

    Attributes
    ----------
    windows : Windows
        Of the image.
    """

    def __init__(self, network: NestedViT, images: Images, chunk: int | None = None) -> None:
        self.network = network
        self.tokens = Recomputation(network, images, chunk or network.config.chunk or USUAL_CHUNK)
        self.tokens.forward()
        self.windows = self.tokens.windows

    @torch.no_grad()
    def label(self) -> Tensor:
        """Logits of the image: (1, classes)."""
        return self.network.read_label(self.tokens.entered[-1], self.windows.grid)

    @torch.no_grad()
    def parts(self) -> Iterator[tuple[slice, Tensor]]:
        """Windows row by row, and the logits of their pixels: (windows, classes, side, side)."""
        _, rows, columns = self.windows.grid
        for row in range(rows):
            for start in range(row * columns, (row + 1) * columns, self.tokens.chunk):
                chosen = slice(start, min(start + self.tokens.chunk, (row + 1) * columns))
                patches = self.tokens.last_patches(chosen)
                yield chosen, self.network.read_dense(patches, self.tokens.entered[-1][chosen])

    def rows(self) -> Iterator[NDArray[Any]]:
        """Classes of the pixels, a row of windows at a time: (rows, width), uint8, or uint16 where there are more."""
        side, (_, _, columns) = self.windows.side, self.windows.grid
        kind = np.uint8 if self.network.num_classes <= 256 else np.uint16
        row = np.zeros((side, columns * side), dtype=kind)
        for chosen, logits in self.parts():
            found = classes_of(logits).cpu().numpy().astype(kind)
            first, top = chosen.start % columns, chosen.start // columns * side
            for place, tile in enumerate(found, start=first):
                row[:, place * side : (place + 1) * side] = tile
            if first + len(found) == columns:
                yield row[: min(side, self.windows.height - top), : self.windows.width].copy()


def classes_of(logits: Tensor) -> Tensor:
    """The likeliest class of each pixel, from (windows, classes, side, side); of one logit whether it is positive."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)


def evaluate(network: NestedViT, images: Sequence[LabelledImage], marks: bool) -> Seen:
    """Measure a network on images, one after the other."""
    config = network.config
    with as_it_is_used(network):
        rows = []
        for image in images:
            with opened(image, config, marks) as example:
                rows.append(_pixels(network, example) if config.target == "dense" else _label(network, example))
    losses, hits, said, true = (np.stack(column) for column in zip(*rows, strict=True))
    return Seen(config.target == "dense", losses, hits, said, true)


def _label(network: NestedViT, example: Example) -> tuple[Floats, Floats, Floats, Floats]:
    assert isinstance(example.truth, int)
    logits = Pass(network, [example.image]).label().cpu().double()
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([example.truth]))
    one = np.eye(network.num_classes)
    said, true = one[int(logits.argmax())], one[example.truth]
    return np.asarray(float(loss)), said * true, said, true


def _pixels(network: NestedViT, example: Example) -> tuple[Floats, Floats, Floats, Floats]:
    config, truth = network.config, example.truth
    assert isinstance(truth, MaskSource)
    count, unknown = max(network.num_classes, 2), ignored(config)
    loss: Any = example.loss(config, False, network.region.device)
    cut = Windows([truth], config.patch * config.window)
    total, counts = 0.0, np.zeros((3, count))
    for chosen, logits in Pass(network, [example.image]).parts():
        total += float(loss.part(logits.float(), chosen))
        true = cut.tiles(chosen, unknown)[:, 0].long()
        known = true != unknown
        said, true = classes_of(logits).cpu()[known], true[known]
        counts += [torch.bincount(each, minlength=count).numpy() for each in (true[said == true], said, true)]
    return np.asarray(total), counts[0], counts[1], counts[2]
