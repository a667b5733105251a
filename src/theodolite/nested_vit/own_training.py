"""Training on the user's own images: each by itself, whatever its size, by the gradients that fit the memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from theodolite.data.image_sets import LabelledImage, check_images
from theodolite.engine.export import load_weights
from theodolite.engine.loop import fit
from theodolite.engine.task import Part, Step, Task
from theodolite.kernel.errors import DataError
from theodolite.kernel.launch import is_first_process
from theodolite.kernel.runs import RunFolder
from theodolite.nested_vit.choice import choose
from theodolite.nested_vit.config import NestedViTConfig, NestedViTTraining
from theodolite.nested_vit.dropout import Draws
from theodolite.nested_vit.examples import Example, opened, whole_of
from theodolite.nested_vit.gradients import Known, add_to, losses
from theodolite.nested_vit.lessons import Lessons
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.objectives import Objective
from theodolite.nested_vit.optimiser import LARGEST_GRADIENT, adamw, rate
from theodolite.nested_vit.own_evaluation import evaluate
from theodolite.nested_vit.own_images import OwnImages, count_masks, find, label_counts, shares

EVALUATIONS, EVALUATED = 8, 16  # how often in all, and on how many images at most
PEAK = 0.4  # of the learning rate, as in the last lesson of the twins


class Learner(nn.Module):
    """The network and the mean loss of images of different sizes, in one call, which is what processes average.

    Parameters
    ----------
    network : NestedViT
        What is trained.
    scratch : Path or None
        Folder for stored boundaries; None for the system's.
    """

    def __init__(self, network: NestedViT, scratch: Path | None = None) -> None:
        super().__init__()
        self.network = network
        self.scratch = scratch

    def forward(self, images: Sequence[LabelledImage], marks: bool, draws: Draws) -> Tensor:
        """Mean loss of images, whose gradients are known: each image is forgotten before the next is read."""
        parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        known: list[Tensor | None] = [None] * len(parameters)
        total = parameters[0].new_zeros(())
        for place, image in enumerate(images):
            with opened(image, self.network.config, marks) as example:
                loss = self.loss(example, draws._replace(images=draws.images[place : place + 1])) / len(images)
                found = torch.autograd.grad(loss, parameters, allow_unused=True)
            total += loss.detach()
            add_to(known, found)
        applied: Any = Known.apply
        return torch.as_tensor(applied(total, known, *parameters))

    def loss(self, example: Example, draws: Draws) -> Tensor:
        """Loss of one image, by the way that fits the memory."""
        config, device = self.network.config, self.network.region.device
        choice = choose(config, example.image.height, example.image.width, by_windows=True)
        ordinary = choice.mode == "ordinary"
        objective = Objective(example.loss(config, ordinary, device))
        images: Any = whole_of(example.image).to(device) if ordinary else [example.image]
        return losses(self.network, images, objective, choice.mode, choice.chunk, draws, self.scratch).total


class ImagesTask(Task):
    """The network, its optimiser and one step.

    Parameters
    ----------
    config : NestedViTConfig
        Settled by the plan.
    training : NestedViTTraining
        Steps, rates and the seed.
    images : OwnImages
        What is trained on, and held out.
    shares : sequence of float
        Of the classes in training: what the network says before it has learnt anything.
    marks : bool
        Whether 255 in masks means class 1.
    scratch : Path or None
        Folder for stored boundaries; None for the system's.
    """

    name = "nested-vit"

    def __init__(
        self,
        config: NestedViTConfig,
        training: NestedViTTraining,
        images: OwnImages,
        shares: Sequence[float],
        marks: bool,
        scratch: Path | None = None,
    ) -> None:
        self.config, self.training, self.marks = config, training, marks
        self.images = images.training
        self.sample_count = len(self.images)
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            self.learner = Learner(NestedViT(config), scratch)
        begin_with(self.learner.network, shares)
        self.networks = {"learner": self.learner}
        self.optimizers = {"learner": adamw(self.learner.parameters(), training.learning_rate)}
        self.evaluate_every = max(1, training.steps // EVALUATIONS)
        # what is looked at on the way takes less work than the training
        seen = training.steps * min(training.batch_size, self.sample_count)
        measured = images.measured(min(EVALUATED, max(1, seen // EVALUATIONS)))
        self.looked_at = [images.all.images[place] for place in measured]

    def step(self, at: Step) -> Mapping[str, float]:
        """Read images, one after the other, and move the weights."""
        learner, optimizer = self.networks["learner"], self.optimizers["learner"]
        learner.zero_grad()
        means = at.backward(self._losses)
        torch.nn.utils.clip_grad_norm_(learner.parameters(), LARGEST_GRADIENT)
        for group in optimizer.param_groups:
            group["lr"] = self.training.learning_rate * PEAK * rate(at.number, at.total)
        optimizer.step()
        return means

    def _losses(self, part: Part) -> Mapping[str, Tensor]:
        draws = Draws(part.seed, part.number, part.ids.cpu())
        images = [self.images[number] for number in part.ids.tolist()]
        return {"loss": self.networks["learner"](images, self.marks, draws)}

    def evaluate(self, number: int) -> dict[str, float]:  # the same images at every step
        """Measure on a few held-out images."""
        seen = evaluate(self.learner.network, self.looked_at, self.marks)
        return {"held_out_loss": float(seen.losses.mean()), "held_out_right": seen.headline()[0]}


def begin_with(network: NestedViT, shares: Sequence[float]) -> None:
    """Let the head begin with the answer that is best for all images alike: the logarithms of the classes' shares."""
    logits = torch.tensor(shares, dtype=torch.float64).log()
    if network.num_classes == 1:
        logits = (logits[1] - logits[0])[None]
    head = network.get_classifier()
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        head.bias.copy_(logits.repeat_interleave(len(head.bias) // len(logits)))


def train_on_own_images(config: NestedViTConfig, training: NestedViTTraining, run: RunFolder) -> None:
    """Check the images, then train on them.

    Raises
    ------
    DataError
        If a file is damaged, before the first step; or if the data changed since the run was begun.
    """
    images = find(config)
    if run.read_json("data.json"):
        told = same_images(run, images, config)
    else:
        told = _facts(config, images)
        if is_first_process():
            check_images(images.all)
            run.write_json("data.json", told)
    fit(ImagesTask(config, training, images, told["shares"], told["marks"], run.path), training, run)


def _facts(config: NestedViTConfig, images: OwnImages) -> dict[str, Any]:
    """What the audit, and whoever predicts, must know of the images; masks are decoded."""
    masks = count_masks(images, config.classes) if images.dense else None
    counts = masks.counts if masks else label_counts(images.all.images, config.num_classes)
    return {
        "sha256": images.division.sha256,
        "classes": list(images.names(config.num_classes)),
        "shares": shares(counts[images.division.training], config.num_classes).tolist(),
        "marks": masks is not None and masks.marks,
        "training": len(images.training),
        "warnings": list(images.notes),
    }


def same_images(run: RunFolder, images: OwnImages, config: NestedViTConfig) -> dict[str, Any]:
    """Return what was noted of the images, or refuse others than those a run was begun with.

    Raises
    ------
    DataError
        If any file or label differs: another division would hold out what was trained on; or if the note is damaged.
    """
    noted = run.read_json("data.json")
    if images.division.sha256 != noted.get("sha256"):
        raise DataError(
            f"{config.data} is not what {run.path} was trained on: files or labels differ; restore them, or train again"
        )
    shares_noted = noted.get("shares")
    if (
        not isinstance(shares_noted, list)
        or len(shares_noted) != max(config.num_classes, 2)
        or not all(isinstance(share, float) and 0 < share < 1 for share in shares_noted)
        or not isinstance(noted.get("marks"), bool)
    ):
        raise DataError(f"{run.path / 'data.json'} does not say the shares of the classes; train the run again")
    return noted


def trained_network(run: RunFolder, config: NestedViTConfig) -> NestedViT:
    """Return the trained network of a run, whatever it was trained on, without dropout.

    Raises
    ------
    DataError
        If the weights are missing, damaged or of another plan.
    """
    network = NestedViT(config)
    if config.own_images:
        load_weights(run, {"learner": Learner(network)})
    else:
        load_weights(run, {"lessons": Lessons(network)})
    return network.eval()
