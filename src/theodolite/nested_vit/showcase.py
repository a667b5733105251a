"""One training step on one huge image, in a process of its own so that its peak of memory is its own.

``python -m theodolite.nested_vit.showcase RUN`` prints what it measured as JSON.
"""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from theodolite.data.twins import TwinCanvases
from theodolite.engine.export import load_weights
from theodolite.kernel.anonymous import anonymous_bytes, watching
from theodolite.kernel.errors import ResourceError
from theodolite.kernel.runs import RunFolder
from theodolite.nested_vit.choice import USUAL_CHUNK, Mode, choose
from theodolite.nested_vit.config import NestedViTConfig, NestedViTTraining
from theodolite.nested_vit.gradients import losses
from theodolite.nested_vit.lessons import Lessons
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.samples import batch

TIME_LIMIT = 3600  # seconds


@dataclass(frozen=True)
class ShownStep:
    """One training step: forward, exact gradients by chunks, AdamW.

    Attributes
    ----------
    side : int
        Of the image, px.
    cpu_seconds, seconds : float
        Processor time and time.
    base_bytes, peak_bytes : int
        Memory that no file backs: before the image was drawn, and the most until the step was done.
    loss : float
        Of the target, in nats.
    gradient_norm : float
        Over all parameters.
    """

    side: int
    cpu_seconds: float
    seconds: float
    base_bytes: int
    peak_bytes: int
    loss: float
    gradient_norm: float


def show_step(run: RunFolder) -> ShownStep:
    """Do the step in a fresh process and return what it measured.

    Raises
    ------
    ResourceError
        If the process did not end well, which is memory as a rule.
    """
    done = subprocess.run(
        [sys.executable, "-m", "theodolite.nested_vit.showcase", str(run.path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIME_LIMIT,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["killed"])[-1]
        raise ResourceError(f"the shown step ended with code {done.returncode} ({reason}); give a smaller --show-size")
    return ShownStep(**json.loads(done.stdout))


def step(run: RunFolder) -> ShownStep:
    """Do one training step of the trained network at ``show_size``; the run is not changed."""
    config, training = run.settings(NestedViTConfig), run.settings(NestedViTTraining)
    lessons = Lessons(NestedViT(config), run.path)
    load_weights(run, {"lessons": lessons})
    optimizer = torch.optim.AdamW(lessons.parameters(), training.learning_rate)
    _train_on(lessons, optimizer, config, config.patch * config.window * 4, training.seed)  # loads what loads lazily
    base, began, began_cpu = anonymous_bytes(), time.monotonic(), time.process_time()
    with watching() as most:
        loss = _train_on(lessons, optimizer, config, config.show_size, training.seed)
    gradients = [parameter.grad for parameter in lessons.parameters() if parameter.grad is not None]
    return ShownStep(
        side=config.show_size,
        cpu_seconds=time.process_time() - began_cpu,
        seconds=time.monotonic() - began,
        base_bytes=base,
        peak_bytes=most.bytes,
        loss=loss,
        gradient_norm=float(torch.cat([gradient.flatten() for gradient in gradients]).norm()),
    )


def _train_on(
    lessons: Lessons, optimizer: torch.optim.Optimizer, config: NestedViTConfig, side: int, seed: int
) -> float:
    images, truth = batch(TwinCanvases(side, seed, "train"), config, [0])
    mode, chunk = way(config, side)
    found = losses(lessons.network, images, lessons.objective(truth), mode, chunk, scratch=lessons.scratch)
    optimizer.zero_grad()
    torch.autograd.backward(found.total)
    optimizer.step()
    return float(found.values["target"])


def way(config: NestedViTConfig, side: int) -> tuple[Mode, int]:
    """How gradients are found, and how many windows at a time: as trained, but by recomputation where nothing binds."""
    if config.memory is None and config.gradients in ("auto", "ordinary"):
        return "recomputed", config.chunk or USUAL_CHUNK
    choice = choose(config, side)
    return choice.mode, choice.chunk


if __name__ == "__main__":
    print(json.dumps(asdict(step(RunFolder.open(Path(sys.argv[1]))))))
