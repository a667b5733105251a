"""One training loop for all families: progress, metrics, checkpoints, resume, signals, divergence."""

import atexit
import logging
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from theodolite.engine import checkpoint, reduction, sampling, signals
from theodolite.engine.devices import make_fabric
from theodolite.engine.export import save_weights
from theodolite.engine.gather import gather_numbers
from theodolite.engine.precision import settle_precision
from theodolite.engine.progress import progress
from theodolite.engine.task import Reduction, Step, Task
from theodolite.kernel.errors import DivergedError, InterruptedRun, ResourceError
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.settings import TrainSettings

# fabric tells of its precision and of each process that joins; what matters of it stands in environment.json
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
# torch remarks, in every process, that the gradient of a layer with one output may lie in memory either way
warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")


def fit(task: Task, training: TrainSettings, run: RunFolder | None = None) -> None:
    """Train to ``training.steps`` steps; afterwards `task` holds the trained networks, as plain modules.

    Parameters
    ----------
    task : Task
        What is trained.
    training : TrainSettings
        How.
    run : RunFolder or None
        Where checkpoints are kept, from which training goes on where there is one, and metrics and at the end the
        weights are written. Without it nothing is written and nothing shown, and signals do what they did before.

    Raises
    ------
    DivergedError
        If a loss or a weight stops being finite; the last good checkpoint stays.
    UsageError
        If the batch cannot be shared among the processes.
    InterruptedRun
        If SIGINT or SIGTERM came; the state was saved.
    ResourceError
        If the folder is in use, the disk is full, or another process of the launch was lost.
    """
    precision = settle_precision(training, task.networks, run)
    fabric = make_fabric(training, precision)
    fabric.launch()
    if fabric.world_size > 1:
        atexit.register(_leave_group)
    networks, optimizers = dict(task.networks), dict(task.optimizers)
    try:
        with (
            run.lock() if run and fabric.is_global_zero else nullcontext(),
            reduction.threads_for(training.reduction),
            _lost_processes_named(fabric),
        ):
            _Fitting(task, training, run, fabric, networks).run_to_end()
    finally:
        task.networks, task.optimizers = networks, optimizers


def _leave_group() -> None:
    """Stop the threads that connect the processes: torch aborts where they outlive the interpreter, now and then."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextmanager
def _lost_processes_named(fabric: Fabric) -> Iterator[None]:
    """Say in words what torch says in its own when another process of the launch is gone."""
    try:
        yield
    except RuntimeError as error:
        if fabric.world_size > 1 and ("gloo" in str(error) or isinstance(error, torch.distributed.DistError)):
            raise ResourceError("another process of this launch has ended; its message says why") from error
        raise


@dataclass
class _Fitting:
    """One call of `fit`: the state that the steps share. `plain` are the networks before anything wraps them."""

    task: Task
    training: TrainSettings
    run: RunFolder | None
    fabric: Fabric
    plain: dict[str, nn.Module]
    done: int = 0
    stored: dict[str, Any] | None = None
    seconds_before: float = 0.0
    began: float = field(default_factory=time.monotonic)
    reduction: Reduction = field(init=False)

    def run_to_end(self) -> None:
        """Set up, resume, step, save, export."""
        batches = sampling.Batches(self.training.seed, self.task.sample_count, self.training.batch_size)
        self._resume()
        self._wrap(batches.batch_size)
        if self.writes:
            self.writes.keep_metrics_before(self.done)
            if not self.writes.checkpoint.is_file():
                self._save()  # so that a run that diverges early has a state to go back to
        with (
            signals.collected(wanted=self.run is not None) as received,
            progress(self.task.name, self.done, self.training.steps, shown=self.writes is not None) as report,
        ):
            while self.done < self.training.steps:
                loss = self._step(batches.ids(self.done))
                report(self.done, loss)
                stopped_by = self._agree(received)
                if self.done % self.training.checkpoint_every == 0 or stopped_by or self.done == self.training.steps:
                    self._save()
                if stopped_by:
                    self._stop(stopped_by)
        if self.writes:
            save_weights(self.writes, self.plain)
            self._describe(self.writes)

    @property
    def writes(self) -> RunFolder | None:
        """The run folder in the one process that writes it; None in the others."""
        return self.run if self.fabric.is_global_zero else None

    def _resume(self) -> None:
        if not self.run or not self.run.checkpoint.is_file():
            return
        self.stored = checkpoint.load(self.run)
        self.done, self.seconds_before = self.stored["step"], self.stored["seconds"]

    def _wrap(self, batch_size: int) -> None:
        """Move networks to the device and let fabric wrap what is trained; plain modules keep their names."""
        trained = [
            name
            for name, network in self.plain.items()
            if any(parameter.requires_grad for parameter in network.parameters())
        ]
        wrapped: dict[str, Any] = {
            name: self.fabric.setup_module(network) if name in trained else network.to(self.fabric.device)
            for name, network in self.plain.items()
        }
        self.task.networks, self.task.autocast = wrapped, self.fabric.autocast
        if self.run and self.stored:  # now that they have their precision: float64 does not fit into float32
            checkpoint.restore_networks(self.run.checkpoint, self.stored["networks"], self.plain)
        optimizers: dict[str, Any] = {}
        for name, optimizer in self.task.optimizers.items():
            # before wrapping: the wrapper keeps a reference to the groups it finds
            if self.run and self.stored:
                checkpoint.restore_optimizer(self.run.checkpoint, self.stored["optimizers"], name, optimizer)
            optimizers[name] = self.fabric.setup_optimizers(optimizer)
        self.task.optimizers = optimizers
        self.reduction = reduction.choose(
            self.training.reduction, self.fabric, [wrapped[name] for name in trained], batch_size
        )

    def _step(self, ids: Tensor) -> float:
        device = self.fabric.device
        at = Step(self.done, self.training.steps, ids.to(device), device, self.training.seed, self.reduction)
        try:
            metrics = self.task.step(at)
        except DivergedError as error:
            raise DivergedError(f"{error}; {self._what_is_kept()}") from None
        self.done += 1
        last = self.done == self.training.steps
        every = self.task.evaluate_every
        slow = self.task.evaluate(self.done) if every and (self.done % every == 0 or last) else {}
        if self.writes and (slow or last or at.number % self.training.log_every == 0):
            self.writes.append_metrics({"step": at.number, "seconds": round(self._seconds(), 3), **metrics, **slow})
        return metrics["loss"]

    def _agree(self, received: list[int]) -> int:
        """The signal that ends the run after this step, 0 for none: it may have reached some processes only."""
        here = received[0] if received else 0
        return int(max(max(row) for row in gather_numbers([here], self.fabric)))

    def _stop(self, signal_number: int) -> None:
        # a process that leaves makes the launcher end the others: not before the state is written
        self.fabric.barrier()
        name = signal.Signals(signal_number).name
        progress_made = f"after step {self.done} of {self.training.steps}"
        raise InterruptedRun(f"stopped by {name} {progress_made}; continue with --resume", signal_number)

    def _save(self) -> None:
        if not all(torch.isfinite(value).all() for network in self.plain.values() for value in network.parameters()):
            raise DivergedError(f"a weight is not finite after step {self.done}; {self._what_is_kept()}")
        if self.writes:
            state = {
                "step": self.done,
                "seconds": self._seconds(),
                "seal": self.writes.plan.digest(),
                "networks": {name: network.state_dict() for name, network in self.plain.items()},
                "optimizers": {name: optimizer.state_dict() for name, optimizer in self.task.optimizers.items()},
            }
            checkpoint.save(self.writes, state)

    def _what_is_kept(self) -> str:
        if not self.run:
            return "try a lower learning rate"
        return f"{self.run.checkpoint} holds the last good state; try a lower --learning-rate"

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.began

    def _describe(self, run: RunFolder) -> None:
        computed_on = {
            "device": torch.cuda.get_device_name() if self.fabric.device.type == "cuda" else self.fabric.device.type,
            "processes": self.fabric.world_size,
            "seconds": round(self._seconds(), 2),
        }
        run.write_json("environment.json", run.read_json("environment.json") | computed_on)
