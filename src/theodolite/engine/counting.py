"""Multiply-adds counted while they are computed, forward and backward, gradients of gradients included."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from theodolite.engine.task import Losses, Part, Step, Task


class Multiplications(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts in `total` what torch's own formulas give for every product that is computed within the context.

    Torch's counter cannot be used where a gradient is taken within a training step: it follows modules, too.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Compute, and count."""
        given = dict(kwargs or {})
        result = func(*args, **given)
        operations = flop_registry.get(func._overloadpacket)
        if operations is not None:
            self.total += operations(*args, **given, out_val=result) // 2
        return result


class _Alone:
    """One process, one part."""

    def cut(self, ids: Tensor) -> list[Tensor]:
        return [ids]

    def backward(self, number: int, shares: list[tuple[Part, float]], losses: Losses) -> dict[str, float]:
        del number
        ((part, _),) = shares
        means = losses(part)
        torch.autograd.backward(means["loss"])
        return {name: float(value.detach()) for name, value in means.items()}


def multiplications_of_a_step(task: Task, steps: int = 1, samples: int = 2) -> float:
    """Train a task for a few steps on the CPU, and return the multiply-adds of one step for one sample, on average.

    Parameters
    ----------
    task : Task
        Untouched by any loop; it is trained, so give one that nobody needs.
    steps, samples : int
        How many steps, of how many samples each.
    """
    counter = Multiplications()
    with counter:
        for number in range(steps):
            task.step(Step(number, steps, torch.arange(samples), torch.device("cpu"), 0, _Alone()))
    return counter.total / (steps * samples)
