"""What a family trains, and what each of its steps is given."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from theodolite.engine import sampling


@dataclass(frozen=True, eq=False)
class Part:
    """Some samples of one training step, and the random draws that belong to them.

    Attributes
    ----------
    number, total : int
        The step (from 0) and how many there are.
    ids : (n,) int64 tensor on `device`
        The samples, at least one.
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

    def normal(self, stream: str, *shape: int) -> Tensor:
        """Standard normal draws (n, *shape), float32, for these samples; see `sampling.normal`."""
        return sampling.normal(self.seed, self.number, self.ids, stream, shape)

    def uniform(self, stream: str, *shape: int) -> Tensor:
        """Uniform draws in [0, 1), (n, *shape), float32, for these samples; see `sampling.uniform`."""
        return sampling.uniform(self.seed, self.number, self.ids, stream, shape)


Losses = Callable[[Part], Mapping[str, Tensor]]
"""Means over the samples of a part: ``"loss"``, which is followed downhill, and others that are only noted."""


class Reduction(Protocol):
    """How the gradients of a batch's parts become one gradient, the same on all processes."""

    def cut(self, ids: Tensor) -> list[Tensor]:
        """Samples of a batch that this process computes, in the pieces it computes them in."""

    def backward(self, number: int, shares: list[tuple[Part, float]], losses: Losses) -> dict[str, float]:
        """Accumulate the batch's gradients from this process's parts, each with its share of the batch."""


@dataclass(frozen=True, eq=False)
class Step(Part):
    """One training step: the samples of the whole batch, and the way to its gradients."""

    reduction: Reduction

    @cached_property
    def parts(self) -> list[Part]:
        """What of the batch this process computes: the same objects for every loss of the step."""
        return [Part(self.number, self.total, ids, self.device, self.seed) for ids in self.reduction.cut(self.ids)]

    def backward(self, losses: Losses) -> dict[str, float]:
        """Accumulate the gradients of the batch's mean loss, and return the means over the batch.

        Parameters
        ----------
        losses : function of a `Part`
            Called for each part of the batch that this process computes; returns means over the part's samples,
            ``"loss"`` among them.

        Returns
        -------
        dict of str to float
            What `losses` returned, averaged over the whole batch: the same on all processes.

        Raises
        ------
        DivergedError
            If the loss is not finite, on all processes alike: no optimiser has moved since the last finite one.
        """
        shares = [(part, len(part.ids) / len(self.ids)) for part in self.parts]
        return self.reduction.backward(self.number, shares, losses)


class Task:
    """What a family trains. Subclasses fill the attributes in their constructor.

    Attributes
    ----------
    name : str
        What the progress bar says.
    networks : dict of str to Module
        What is moved, wrapped, kept in checkpoints and exported. A network none of whose parameters needs a gradient
        (a running average) is moved and kept only. While it trains, the loop replaces the entries by wrapped ones: call
        ``self.networks["name"](…)``.
    optimizers : dict of str to Optimizer
        Over the parameters of those networks.
    sample_count : int or None
        Ids are drawn from ``range(sample_count)``, a new permutation each epoch; None for a source that never repeats.
    evaluate_every : int
        Steps between calls of `evaluate`; 0 for never.
    autocast : function
        Returns a context in which everything is computed in the precision of the run, as in a wrapped network; for
        what goes around one.
    """

    name: str = "training"
    networks: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    sample_count: int | None
    evaluate_every: int = 0
    autocast: Callable[[], AbstractContextManager[Any]] = staticmethod(nullcontext)

    def step(self, at: Step) -> Mapping[str, float]:
        """Do one whole training step and return its metrics, ``"loss"`` among them."""
        raise NotImplementedError

    def evaluate(self, number: int) -> dict[str, float]:
        """Measure what is too dear for every step; called after every `evaluate_every` steps and after the last."""
        return {}
