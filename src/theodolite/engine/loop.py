"""One training loop for all families: progress, metrics, checkpoints, resume, signals, divergence."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from theodolite.engine import checkpoint, sampling
from theodolite.engine.devices import choose_precision, make_fabric
from theodolite.engine.export import save_weights
from theodolite.engine.progress import progress
from theodolite.kernel.errors import DivergedError, InterruptedRun, UsageError
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.settings import TrainSettings


@dataclass(frozen=True)
class Step:
    """What one training step is given.

    Attributes
    ----------
    number, total : int
        This step (from 0) and how many there are.
    ids : (n,) int64 tensor on `device`
        The samples of this step that this process computes.
    device : torch.device
        Where.
    seed : int
        Seed of the run.
    """

    number: int
    total: int
    ids: Tensor
    device: torch.device
    seed: int
    _fabric: Fabric

    def backward(self, loss: Tensor) -> None:
        """Accumulate the gradients of a scalar loss.

        Raises
        ------
        DivergedError
            If the loss is not finite: no optimiser has moved since the last finite one.
        """
        if not torch.isfinite(loss):
            raise DivergedError(f"the loss is {loss.item()} at step {self.number}")
        self._fabric.backward(loss)

    def normal(self, stream: str, *shape: int) -> Tensor:
        """Standard normal draws (n, *shape), float32, for this step's samples; see `sampling.normal`."""
        return sampling.normal(self.seed, self.number, self.ids, stream, shape)

    def uniform(self, stream: str, *shape: int) -> Tensor:
        """Uniform draws in [0, 1), (n, *shape), float32, for this step's samples; see `sampling.uniform`."""
        return sampling.uniform(self.seed, self.number, self.ids, stream, shape)


class Task:
    """What a family trains. Subclasses fill the attributes in their constructor.

    Attributes
    ----------
    name : str
        What the progress bar says.
    networks : dict of str to Module
        What is moved, wrapped, kept in checkpoints and exported. A network none of whose parameters needs a gradient
        (a running average) is moved and kept only. The loop replaces the entries by wrapped ones: call
        ``self.networks["name"](…)``.
    optimizers : dict of str to Optimizer
        Over the parameters of those networks.
    sample_count : int or None
        Ids are drawn from ``range(sample_count)``, a new permutation each epoch; None for a source that never repeats.
    evaluate_every : int
        Steps between calls of `evaluate`; 0 for never.
    """

    name: str = "training"
    networks: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    sample_count: int | None
    evaluate_every: int = 0

    def step(self, at: Step) -> dict[str, Tensor | float]:
        """Do one whole training step and return its metrics, ``"loss"`` among them."""
        raise NotImplementedError

    def evaluate(self, number: int) -> dict[str, float]:
        """Measure what is too dear for every step; called after every `evaluate_every` steps and after the last."""
        return {}


def fit(task: Task, training: TrainSettings, run: RunFolder) -> None:
    """Train to ``training.steps`` steps, from the run's checkpoint where there is one, and export the weights.

    Raises
    ------
    DivergedError
        If a loss or a weight stops being finite; the last good checkpoint stays.
    UsageError
        If the batch does not divide among the processes.
    InterruptedRun
        If SIGINT or SIGTERM came; the state was saved.
    ResourceError
        If the folder is in use, or the disk is full.
    """
    fabric = make_fabric(training)
    fabric.launch()
    with run.lock() if fabric.is_global_zero else _nothing():
        _Fitting(task, training, run, fabric).run_to_end()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@dataclass
class _Fitting:
    """One call of `fit`: the state that the steps share."""

    task: Task
    training: TrainSettings
    run: RunFolder
    fabric: Fabric
    done: int = 0
    plain: dict[str, nn.Module] = field(default_factory=dict)
    optimizer_states: dict[str, Any] = field(default_factory=dict)
    seconds_before: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def run_to_end(self) -> None:
        """Set up, resume, step, save, export."""
        batches = sampling.Batches(self.training.seed, self.task.sample_count, self.training.batch_size)
        if batches.batch_size % self.fabric.world_size:  # unequal shares would weigh samples unequally
            raise UsageError(
                f"a batch of {batches.batch_size} samples does not divide among {self.fabric.world_size} processes; "
                f"take --batch-size {max(1, batches.batch_size // self.fabric.world_size) * self.fabric.world_size}"
            )
        # plain modules, kept aside: their names in a checkpoint are the same whatever wraps them
        self.plain = dict(self.task.networks)
        self._resume()
        self._wrap()
        if self.fabric.is_global_zero:
            self.run.keep_metrics_before(self.done)
        if not self.run.checkpoint.is_file():
            self._save()  # so that a run that diverges early has a state to go back to
        shown = self.fabric.is_global_zero
        with (
            _signals() as received,
            progress(self.task.name, self.done, self.training.steps, shown=shown) as report,
        ):
            while self.done < self.training.steps:
                loss = self._step(batches.ids(self.done))
                report(self.done, loss)
                if self.done % self.training.checkpoint_every == 0 or received or self.done == self.training.steps:
                    self._save()
                if received:
                    name = signal.Signals(received[0]).name
                    progress_made = f"after step {self.done} of {self.training.steps}"
                    raise InterruptedRun(f"stopped by {name} {progress_made}; continue with --resume", received[0])
        if self.fabric.is_global_zero:
            save_weights(self.run, self.plain)
            self._describe()

    def _resume(self) -> None:
        if not self.run.checkpoint.is_file():
            return
        state = checkpoint.load(self.run)
        for name, network in self.plain.items():
            network.load_state_dict(state["networks"][name])
        self.optimizer_states = state["optimizers"]
        self.done, self.seconds_before = state["step"], state["seconds"]

    def _wrap(self) -> None:
        for name, network in self.plain.items():
            if any(parameter.requires_grad for parameter in network.parameters()):
                self.task.networks[name] = self.fabric.setup_module(network)
            else:
                self.task.networks[name] = network.to(self.fabric.device)
        for name, optimizer in self.task.optimizers.items():
            # before wrapping: the wrapper keeps a reference to the groups it finds
            if name in self.optimizer_states:
                optimizer.load_state_dict(self.optimizer_states[name])
            wrapped: Any = self.fabric.setup_optimizers(optimizer)
            self.task.optimizers[name] = wrapped

    def _step(self, ids: Tensor) -> float:
        share = ids[self.fabric.global_rank :: self.fabric.world_size].to(self.fabric.device)
        at = Step(self.done, self.training.steps, share, self.fabric.device, self.training.seed, self.fabric)
        try:
            metrics = self.task.step(at)
        except DivergedError as error:
            raise DivergedError(f"{error}; {self._what_is_kept()}") from None
        self.done += 1
        last = self.done == self.training.steps
        every = self.task.evaluate_every
        slow = self.task.evaluate(self.done) if every and (self.done % every == 0 or last) else {}
        if slow or last or at.number % self.training.log_every == 0:
            row = {name: _number(value) for name, value in metrics.items()} | slow
            if self.fabric.is_global_zero:
                self.run.append_metrics({"step": at.number, "seconds": round(self._seconds(), 3), **row})
        return _number(metrics["loss"])

    def _save(self) -> None:
        if not all(torch.isfinite(value).all() for network in self.plain.values() for value in network.parameters()):
            raise DivergedError(f"a weight is not finite after step {self.done}; {self._what_is_kept()}")
        if self.fabric.is_global_zero:
            state = {
                "step": self.done,
                "seconds": self._seconds(),
                "seal": self.run.plan.digest(),
                "networks": {name: network.state_dict() for name, network in self.plain.items()},
                "optimizers": {name: optimizer.state_dict() for name, optimizer in self.task.optimizers.items()},
            }
            checkpoint.save(self.run, state)

    def _what_is_kept(self) -> str:
        return f"{self.run.checkpoint} holds the last good state; try a lower --learning-rate"

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.began

    def _describe(self) -> None:
        computed_on = {
            "device": torch.cuda.get_device_name() if self.fabric.device.type == "cuda" else self.fabric.device.type,
            "precision": choose_precision(self.training),
            "processes": self.fabric.world_size,
            "seconds": round(self._seconds(), 2),
        }
        self.run.write_json("environment.json", self.run.read_json("environment.json") | computed_on)


def _number(value: Tensor | float) -> float:
    return float(value.detach()) if isinstance(value, Tensor) else float(value)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of them, so that a step ends and its state is saved."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)

    previous = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
