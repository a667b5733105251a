"""What a trained network marks on held-out canvases, beside the truth."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.lessons import Lessons
from theodolite.nested_vit.samples import batch, source_of
from theodolite.theory.gaussian import NORMAL_95

AT_ONCE = 16  # canvases
THRESHOLDS = np.linspace(-6.0, 6.0, 49)  # logits

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """Counts for each held-out canvas.

    Attributes
    ----------
    hits, union : ndarray of shape (canvases, thresholds)
        Of what is marked and what should be, for each threshold on the logit: pixels of a dense target, or labels.
    thresholds : ndarray of shape (thresholds,)
        Logits from which something counts as marked.
    digits, twins : float
        Share of the windows with one digit of which the digit, or whether it has a twin, is named right.
    """

    hits: Counts
    union: Counts
    thresholds: Counts
    digits: float
    twins: float

    def iou(self, threshold: float = 0.0) -> tuple[float, float]:
        """Intersection over union of all canvases, and the half-width of its 95% interval (delta method)."""
        return ratio(*self._at(int(np.argmin(np.abs(self.thresholds - threshold)))))

    def best_iou(self) -> tuple[float, float]:
        """The same at the threshold where it is largest."""
        totals = self.hits.sum(axis=0) / np.maximum(self.union.sum(axis=0), 1)
        return ratio(*self._at(int(np.argmax(totals))))

    def _at(self, place: int) -> tuple[Counts, Counts]:
        return self.hits[:, place], self.union[:, place]


def ratio(hits: Counts, union: Counts) -> tuple[float, float]:
    """Ratio of two sums over independent samples, and the half-width of its 95% interval (delta method)."""
    if not union.sum():
        return 0.0, 0.0
    value = hits.sum() / union.sum()
    error = np.std(hits - value * union, ddof=1) / (np.sqrt(len(hits)) * union.mean())
    return float(value), float(NORMAL_95 * error)


@contextmanager
def as_it_is_used(module: nn.Module) -> Iterator[None]:
    """Switch what only training does, dropout, off, and back."""
    was = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was)


def evaluate(lessons: Lessons, config: NestedViTConfig, seed: int, canvases: int) -> Evaluation:
    """Measure a network on the first held-out canvases of a seed."""
    source = source_of(config, seed, "held out")
    device = next(lessons.parameters()).device
    hits, union, digits, twins = [], [], [], []
    for start in range(0, canvases, AT_ONCE):
        images, truth = batch(source, config, range(start, min(start + AT_ONCE, canvases)))
        with torch.no_grad(), as_it_is_used(lessons):
            said = [part.float().cpu() for part in lessons.said(images.to(device))]
        true = truth.target.flatten(1).numpy()
        marked = said[0].flatten(1).numpy()
        over = [marked > threshold for threshold in THRESHOLDS]
        hits.append(np.stack([(mark & true).sum(axis=1) for mark in over], axis=1))
        union.append(np.stack([(mark | true).sum(axis=1) for mark in over], axis=1))
        one = truth.digits.sum(dim=1) == 1
        digits.append((said[1].argmax(dim=1) == truth.digits.int().argmax(dim=1))[one])
        twins.append(((said[2] > 0) == truth.twins)[one].flatten())
    return Evaluation(
        np.concatenate(hits).astype(float),
        np.concatenate(union).astype(float),
        THRESHOLDS,
        float(torch.cat(digits).float().mean()),
        float(torch.cat(twins).float().mean()),
    )


def without_global(lessons: Lessons) -> Lessons:
    """Return a copy whose network has its global blocks cut out: each window sees itself alone."""
    alone = copy.deepcopy(lessons)
    alone.network.global_blocks = nn.ModuleList(nn.ModuleList() for _ in alone.network.global_blocks)
    return alone
