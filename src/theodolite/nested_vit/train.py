"""Training in three lessons: to recognise digits within windows, to find twins among windows, then to mark them."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from theodolite.data.twins import TwinCanvases
from theodolite.engine.loop import fit
from theodolite.engine.schedules import half_cosine
from theodolite.engine.task import Part, Step, Task
from theodolite.kernel.runs import RunFolder
from theodolite.nested_vit.config import NestedViTConfig, NestedViTTraining
from theodolite.nested_vit.evaluation import evaluate
from theodolite.nested_vit.gradients import chunked_losses
from theodolite.nested_vit.losses import Truth, cross_entropy, losses
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.samples import batch

Lesson = Literal["digits", "twins", "target"]
LESSONS: tuple[Lesson, ...] = ("digits", "twins", "target")
WARM_UP = 25  # steps of each lesson
PEAK = {"digits": 1.0, "twins": 1.0, "target": 0.4}  # of the learning rate: what was taught is not to be forgotten
TAUGHT = {  # parameters by the beginning of their names; the last lesson teaches all
    "digits": ("embed", "region", "local_blocks.0", "norm_digits", "head_digits"),
    "twins": ("global_blocks.0", "norm_twins", "head_twins"),
}
LARGEST_GRADIENT = 1.0  # norm
WEIGHT_DECAY = 0.05
EVALUATIONS, EVALUATED = 16, 16  # how often in all, and on how many canvases


class Lessons(nn.Module):
    """The network and its losses in one call, which is what data-parallel training watches.

    Parameters
    ----------
    network : NestedViT
        What is trained.
    """

    def __init__(self, network: NestedViT) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, truth: Truth, lesson: Lesson) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a lesson and what to note of it."""
        if lesson == "target":
            return self._target(images, truth)
        loss = self._digits(images, truth) if lesson == "digits" else self._twins(images, truth)
        # parameters that the lesson passes over take part with a gradient of zero: processes average all of them
        rest = sum(parameter.sum() for parameter in self.parameters())
        return loss + 0 * rest, {lesson: loss}

    def _digits(self, images: Tensor, truth: Truth) -> Tensor:
        """Stage 1's local blocks alone, on the windows that hold something; each canvas counts alike."""
        held = truth.digits.any(dim=1)
        windows = self.network.cut(images)
        seen = None if windows.seen is None else windows.seen[held]
        _, regions = self.network.within(0, *self.network.start(windows.pixels[held]), seen)
        logits = self.network.read_digits(regions)
        # a mean over all these windows would depend on which canvases are computed together
        of_canvas = held.reshape(len(images), -1)
        weight = (1 / of_canvas.sum(dim=1, keepdim=True)).expand_as(of_canvas)[of_canvas] / len(images)
        of_windows = F.binary_cross_entropy_with_logits(logits, truth.digits[held].to(logits.dtype), reduction="none")
        return (weight * of_windows.mean(dim=1)).sum()

    def _twins(self, images: Tensor, truth: Truth) -> Tensor:
        """Stage 1's global blocks alone; equal windows, the empty ones, are computed once."""
        windows = self.network.cut(images)
        with torch.no_grad():
            if windows.seen is None:
                pixels, place = torch.unique(windows.pixels, dim=0, return_inverse=True)
                regions = self.network.within(0, *self.network.start(pixels), None)[1][place]
            else:
                _, regions = self.network.within(0, *self.network.start(windows.pixels), windows.seen)
        return cross_entropy(self.network.read_twins(self.network.among(0, regions, windows.grid)), truth.twins)

    def _target(self, images: Tensor, truth: Truth) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.network.config
        if config.gradients == "chunked":
            values, total = chunked_losses(self.network, images, truth, config.chunk)
        else:
            values = losses(self.network(images), truth)
            total = values.total
        return total, values._asdict()


class TwinsTask(Task):
    """The network, its optimiser and one step.

    Parameters
    ----------
    config : NestedViTConfig
        The network and its canvases.
    training : NestedViTTraining
        Steps, rates and the seed.
    """

    name = "nested-vit"
    sample_count = None

    def __init__(self, config: NestedViTConfig, training: NestedViTTraining) -> None:
        self.config = config
        self.training = training
        self.source = TwinCanvases(config.size, training.seed, "train")
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            network = NestedViT(config)
        self.network = network
        self.networks = {"lessons": Lessons(network)}
        self.evaluate_every = max(1, training.steps // EVALUATIONS)
        self.optimizers = {lesson: self._optimizer(network, lesson) for lesson in LESSONS}

    def _optimizer(self, network: NestedViT, lesson: Lesson) -> torch.optim.Optimizer:
        """AdamW over what a lesson teaches; matrices decay, vectors do not."""
        taught = [
            parameter
            for name, parameter in network.named_parameters()
            if lesson == "target" or name.startswith(TAUGHT[lesson])
        ]
        groups: list[dict[str, Any]] = [
            {"params": [parameter for parameter in taught if parameter.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [parameter for parameter in taught if parameter.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, self.training.learning_rate, betas=(0.9, 0.98))

    def step(self, at: Step) -> Mapping[str, float]:
        """Draw canvases, take the lesson of this step, move the weights it teaches."""
        lesson, number, total = lesson_at(at.number, at.total, self.config)
        lessons, optimizer = self.networks["lessons"], self.optimizers[lesson]
        lessons.zero_grad()
        means = at.backward(partial(self._losses, lesson))
        torch.nn.utils.clip_grad_norm_(lessons.parameters(), LARGEST_GRADIENT)
        for group in optimizer.param_groups:
            group["lr"] = self.training.learning_rate * PEAK[lesson] * rate(number, total)
        optimizer.step()
        return means

    def _losses(self, lesson: Lesson, part: Part) -> Mapping[str, Tensor]:
        images, truth = batch(self.source, self.config, part.ids.tolist())
        there = Truth(*(each.to(part.device) for each in truth))
        loss, noted = self.networks["lessons"](images.to(part.device), there, lesson)
        return {"loss": loss, **noted}

    def evaluate(self, number: int) -> dict[str, float]:  # the same canvases at every step
        """Measure on a few held-out canvases."""
        seen = evaluate(self.network, self.config, self.training.seed, EVALUATED)
        return {"held_out_digits": seen.digits, "held_out_twins": seen.twins, "held_out_iou": seen.iou()[0]}


def lesson_at(number: int, total: int, config: NestedViTConfig) -> tuple[Lesson, int, int]:
    """Lesson of a step, the step's number within it, and the lesson's length."""
    ends = [round(total * config.digits_share), round(total * (config.digits_share + config.twins_share)), total]
    lesson = sum(number >= end for end in ends)
    start = ends[lesson - 1] if lesson else 0
    return LESSONS[lesson], number - start, ends[lesson] - start


def rate(number: int, total: int) -> float:
    """Share of the highest step size: a linear warm-up, then half a cosine to zero."""
    return min(1.0, (number + 1) / WARM_UP) * half_cosine(number, total)


def train(config: NestedViTConfig, training: NestedViTTraining, run: RunFolder) -> None:
    """Train on endless canvases, from the run's checkpoint where there is one."""
    fit(TwinsTask(config, training), training, run)
