"""Training in three lessons: to recognise digits within windows, to find twins among windows, then to mark them."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from theodolite.data.twins import CLASSES
from theodolite.engine.loop import fit
from theodolite.engine.task import Part, Step, Task
from theodolite.kernel.errors import UsageError
from theodolite.kernel.runs import RunFolder
from theodolite.nested_vit.config import NestedViTConfig, NestedViTTraining
from theodolite.nested_vit.dropout import Draws
from theodolite.nested_vit.evaluation import evaluate
from theodolite.nested_vit.lessons import LESSONS, Lesson, Lessons, Truth
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.optimiser import LARGEST_GRADIENT, adamw, rate
from theodolite.nested_vit.own_training import train_on_own_images
from theodolite.nested_vit.samples import batch, source_of

PEAK = {"digits": 1.0, "twins": 1.0, "target": 0.4}  # of the learning rate: what was taught is not to be forgotten
EVALUATIONS, EVALUATED = 16, 16  # how often in all, and on how many canvases


class TwinsTask(Task):
    """The network, its optimiser and one step.

    Parameters
    ----------
    config : NestedViTConfig
        The network and its canvases.
    training : NestedViTTraining
        Steps, rates and the seed.
    scratch : Path or None
        Folder for stored boundaries; None for the system's.

    Raises
    ------
    UsageError
        If the settings ask for other classes than the twins task has.
    """

    name = "nested-vit"
    sample_count = None

    def __init__(self, config: NestedViTConfig, training: NestedViTTraining, scratch: Path | None = None) -> None:
        has = 1 if config.target == "dense" else CLASSES
        if config.num_classes != has:
            raise UsageError(f"classes={config.num_classes}: the twins task has {has}; leave --classes out")
        self.config = config
        self.training = training
        self.source = source_of(config, training.seed, "train")
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            self.lessons = Lessons(NestedViT(config), scratch)
        self.networks = {"lessons": self.lessons}
        self.evaluate_every = max(1, training.steps // EVALUATIONS)
        self.optimizers = optimizers(self.lessons, self.lessons.taught, training.learning_rate)

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
        draws = Draws(part.seed, part.number, part.ids.cpu())
        loss, noted = self.networks["lessons"](images.to(part.device), there, lesson, draws)
        return {"loss": loss, **noted}

    def evaluate(self, number: int) -> dict[str, float]:  # the same canvases at every step
        """Measure on a few held-out canvases."""
        seen = evaluate(self.lessons, self.config, self.training.seed, EVALUATED)
        return {"held_out_digits": seen.digits, "held_out_twins": seen.twins, "held_out_iou": seen.iou()[0]}


def optimizers(
    module: nn.Module, taught: Mapping[Lesson, tuple[str, ...]], learning_rate: float
) -> dict[str, torch.optim.Optimizer]:
    """AdamW over what each lesson teaches, by the beginning of parameters' names; matrices decay, vectors do not."""
    return {
        lesson: adamw((weight for name, weight in module.named_parameters() if name.startswith(names)), learning_rate)
        for lesson, names in taught.items()
    }


def lesson_at(number: int, total: int, config: NestedViTConfig) -> tuple[Lesson, int, int]:
    """Lesson of a step, the step's number within it, and the lesson's length."""
    ends = [round(total * config.digits_share), round(total * (config.digits_share + config.twins_share)), total]
    lesson = sum(number >= end for end in ends)
    start = ends[lesson - 1] if lesson else 0
    return LESSONS[lesson], number - start, ends[lesson] - start


def train(config: NestedViTConfig, training: NestedViTTraining, run: RunFolder) -> None:
    """Train on endless canvases, or on the user's images, from the run's checkpoint where there is one."""
    if config.own_images:
        train_on_own_images(config, training, run)
        return
    fit(TwinsTask(config, training, run.path), training, run)
