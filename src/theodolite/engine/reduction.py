"""How the gradients of a batch's parts become one gradient: as fast as it goes, or always in one order.

Numbers of limited precision add up differently in another order. `Plain` leaves the order to torch's data-parallel
averaging: two processes then train what one trains, to rounding. `Fixed` cuts every batch into the same `PARTS` parts,
whatever the number of processes, and adds their gradients along one tree of pairs: bitwise the same.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from theodolite.engine.gather import gather, gather_numbers
from theodolite.engine.task import Losses, Part
from theodolite.engine.threads import one_thread
from theodolite.kernel.errors import DivergedError, UsageError

PARTS = 8
"""Parts of a batch under the fixed reduction: 8 processes can share them, or 4, 2, 1."""


def cut(ids: Tensor, count: int) -> list[Tensor]:
    """Cut a batch into contiguous parts whose sizes differ by one at most; of a small batch some are empty."""
    ends = [len(ids) * part // count for part in range(count + 1)]
    return [ids[start:end] for start, end in pairwise(ends)]


def _refuse_unless_finite(loss: float, number: int) -> None:
    if not math.isfinite(loss):
        raise DivergedError(f"the loss is {loss} at step {number}")


class Plain:
    """Each process computes one part of a batch; torch averages the gradients while they arise.

    Parameters
    ----------
    fabric : Fabric
        The processes.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric

    def cut(self, ids: Tensor) -> list[Tensor]:
        """One of as many parts as there are processes."""
        return [cut(ids, self.fabric.world_size)[self.fabric.global_rank]]

    def backward(self, number: int, shares: list[tuple[Part, float]], losses: Losses) -> dict[str, float]:
        """Accumulate the batch's gradients; see `Step.backward`."""
        ((part, share),) = shares
        found = losses(part)
        weighted = gather_numbers([share * float(value.detach()) for value in found.values()], self.fabric)
        means = {name: sum(values) for name, values in zip(found, zip(*weighted, strict=True), strict=True)}
        _refuse_unless_finite(means["loss"], number)
        # torch takes the mean over processes, as if each had computed as many samples
        self.fabric.backward(found["loss"] * (share * self.fabric.world_size))
        return means


@dataclass(frozen=True)
class _Sums:
    """What the samples of one part, or of several, contribute to the means over the batch and to its gradient."""

    means: dict[str, float]
    gradients: list[Tensor | None]

    def __add__(self, other: "_Sums") -> "_Sums":
        names = self.means | other.means
        means = {name: self.means.get(name, 0.0) + other.means.get(name, 0.0) for name in names}
        return _Sums(means, list(map(_added, self.gradients, other.gradients)))


def _added(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return other if one is None else one if other is None else one + other


def _pairwise(terms: Iterable[_Sums]) -> _Sums:
    """Add up 2ⁿ terms along a tree of pairs, as a binary counter carries; at most n + 1 sums are held."""
    held: list[_Sums] = []
    for number, term in enumerate(terms, start=1):
        held.append(term)
        complete = number
        while complete % 2 == 0:
            last = held.pop()
            held[-1] += last
            complete //= 2
    (total,) = held
    return total


class Fixed:
    """Each process computes its parts one after the other; a tree that no number of processes changes adds them up.

    Parameters
    ----------
    fabric : Fabric
        The processes.
    networks : sequence of modules
        All that may receive gradients, as fabric wrapped them.
    """

    def __init__(self, fabric: Fabric, networks: Sequence[Any]) -> None:
        self.fabric = fabric
        self.networks = networks
        self.parameters = [each for network in networks for each in network.parameters() if each.requires_grad]

    def cut(self, ids: Tensor) -> list[Tensor]:
        """As many of the batch's parts as each process has: neighbours, so that they fill a branch of the tree."""
        each = PARTS // self.fabric.world_size
        return cut(ids, PARTS)[self.fabric.global_rank * each :][:each]

    def backward(self, number: int, shares: list[tuple[Part, float]], losses: Losses) -> dict[str, float]:
        """Accumulate the batch's gradients; see `Step.backward`."""
        before = self._take_gradients()
        with self._by_ourselves():
            branch = _pairwise(self._compute(part, share, losses) for part, share in shares)
        total = _pairwise(self._branches(branch))
        _refuse_unless_finite(total.means["loss"], number)
        for parameter, earlier, new in zip(self.parameters, before, total.gradients, strict=True):
            parameter.grad = _added(earlier, new)
        return total.means

    def _compute(self, part: Part, share: float, losses: Losses) -> _Sums:
        if not share:
            return _Sums({}, [None] * len(self.parameters))
        found = losses(part)
        self.fabric.backward(found["loss"] * share)
        return _Sums({name: share * float(value.detach()) for name, value in found.items()}, self._take_gradients())

    def _take_gradients(self) -> list[Tensor | None]:
        taken = [parameter.grad for parameter in self.parameters]
        for parameter in self.parameters:
            parameter.grad = None
        return taken

    @contextmanager
    def _by_ourselves(self) -> Iterator[None]:
        """Keep torch from averaging gradients."""
        with ExitStack() as stack:
            for network in self.networks:
                stack.enter_context(self.fabric.no_backward_sync(network))
            yield

    def _branches(self, branch: _Sums) -> list[_Sums]:
        """Branches of all processes, in order of rank."""
        if self.fabric.world_size == 1:
            return [branch]
        count = len(branch.means)
        touched = [float(gradient is not None) for gradient in branch.gradients]
        rows = gather_numbers([*branch.means.values(), *touched], self.fabric)
        means = [dict(zip(branch.means, row[:count], strict=True)) for row in rows]
        # a gradient that some process has and another has not is zero there
        wanted = [any(flags) for flags in zip(*(row[count:] for row in rows), strict=True)]
        gradients = self._gather_gradients(branch.gradients, wanted)
        return [_Sums(*each) for each in zip(means, gradients, strict=True)]

    def _gather_gradients(self, here: list[Tensor | None], wanted: list[bool]) -> list[list[Tensor | None]]:
        """Gradients of all processes, sent as one tensor for each type of number."""
        gathered: list[list[Tensor | None]] = [[None] * len(here) for _ in range(self.fabric.world_size)]
        places = [place for place, is_wanted in enumerate(wanted) if is_wanted]
        places.sort(key=lambda place: str(self.parameters[place].dtype))
        for _, group in groupby(places, key=lambda place: self.parameters[place].dtype):
            chosen = list(group)
            known = [(here[place], self.parameters[place]) for place in chosen]
            flat = torch.cat([(torch.zeros_like(own) if new is None else new).flatten() for new, own in known])
            for row, there in zip(gathered, gather(flat, self.fabric), strict=True):
                for place, piece in zip(chosen, torch.split(there, [own.numel() for _, own in known]), strict=True):
                    row[place] = piece.view_as(self.parameters[place])
        return gathered


def choose(name: str, fabric: Fabric, networks: Sequence[Any], batch_size: int) -> Plain | Fixed:
    """Return the reduction that the settings name.

    Raises
    ------
    UsageError
        If the batch leaves a process without a sample, or the tree has no place for the processes.
    """
    processes = fabric.world_size
    if batch_size < processes:
        raise UsageError(
            f"a batch of {batch_size} samples leaves some of {processes} processes without one; "
            f"take --batch-size {processes} or more, or start at most {batch_size}"
        )
    if name == "plain":
        return Plain(fabric)
    if PARTS % processes:
        raise UsageError(
            f"reduction=fixed adds up {PARTS} parts in pairs, which {processes} processes cannot share; "
            f"start 1, 2, 4 or {PARTS}"
        )
    return Fixed(fabric, networks)


def threads_for(name: str) -> AbstractContextManager[None]:
    """Compute in one thread a process under the fixed reduction: sums within a layer depend on how many threads add."""
    return one_thread(name == "fixed")
