"""Exact gradients of any objective: by ordinary autograd, or in nearly constant memory by chunks of windows.

By chunks only region tokens are kept from forward to backward. Backward, from the last stage to the first: the global
blocks of the stage, over all region tokens; then its local blocks, each chunk computed once more with its graph. The
patches that a chunk needs are either *recomputed* from its pixels, through all stages before, or were *stored* when
they left the stage before, in files mapped into memory, where their cotangents take their place. The derivative of a
sum over paths is the sum of the derivatives: nothing is approximated.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from theodolite.kernel.errors import UsageError
from theodolite.nested_vit.boundaries import Boundaries
from theodolite.nested_vit.choice import Mode
from theodolite.nested_vit.dropout import Draws
from theodolite.nested_vit.model import Images, NestedViT
from theodolite.nested_vit.objectives import Losses, Objective
from theodolite.nested_vit.recompute import Recomputation


def losses(
    network: NestedViT,
    images: Images,
    objective: Objective,
    mode: Mode = "ordinary",
    chunk: int = 16,
    draws: Draws | None = None,
    scratch: Path | None = None,
) -> Losses:
    """Losses with exact gradients by the parameters of the network and of the objective.

    Parameters
    ----------
    network : NestedViT
        Any.
    images : (batch, channels, height, width) tensor, or sequence of WindowSource
        Any size; by chunks, pixels are read when they are needed.
    objective : Objective
        What is minimised.
    mode : {"ordinary", "recomputed", "stored"}
        How the gradients are found; the numbers are the same.
    chunk : int
        Windows computed at a time: memory is proportional to it. Not for ordinary autograd.
    draws : Draws or None
        Which dropout masks to draw while training; None for new ones.
    scratch : Path or None
        Folder for stored boundaries; None for the system's.

    Returns
    -------
    Losses
        By chunks, gradients are known already: the ``backward`` of their total hands them out.

    Raises
    ------
    ResourceError
        If the disk has no room for stored boundaries.
    """
    if not network.num_classes:
        raise UsageError("a network without classes has no loss; give it some by reset_classifier(num_classes)")
    if mode == "ordinary":
        return _ordinary(network, images, objective, draws)
    kind = _Recomputed if mode == "recomputed" else _Stored
    return kind(network, images, objective, chunk, draws, scratch).losses()


def _ordinary(network: NestedViT, images: Images, objective: Objective, draws: Draws | None) -> Losses:
    features = network.forward_features(images, draws)
    logits = network.forward_head(features)
    target: Any = objective.target
    total = target.whole(logits) if network.config.target == "dense" else target(logits)
    values = {"target": total}
    for name, aside in objective.asides.items():
        read = (features.left if aside.after == "local" else features.entered)[aside.stage]
        values[name] = aside.loss(read)
        total = total + aside.weight * values[name]
    return Losses(total, values)


class Known(torch.autograd.Function):
    """A number whose gradients are known."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: Sequence[Tensor | None], *_parameters: Tensor) -> Tensor:
        """Pass the number on; autograd remembers the parameters."""
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        """Hand the gradients out."""
        return None, None, *(None if known is None else cotangent * known for known in ctx.gradients)


def add_to(sums: list[Tensor | None], found: Sequence[Tensor | None]) -> None:
    """Add gradients to sums of them; None stands for zero on either side."""
    for number, new in enumerate(found):
        if new is not None:
            old = sums[number]
            sums[number] = torch.clone(new) if old is None else old.add_(new)


class _ByChunks:
    """One forward and backward pass.

    Attributes
    ----------
    by_entered, by_left : lists of (windows, region, width) tensors
        Gradients by the region tokens `entered` and `left` of the pass, as far as they are known.
    """

    def __init__(
        self,
        network: NestedViT,
        images: Images,
        objective: Objective,
        chunk: int,
        draws: Draws | None,
        scratch: Path | None,
    ) -> None:
        self.network = network
        self.objective = objective
        self.target: Any = objective.target
        self.dense = network.config.target == "dense"
        self.last = network.config.stages - 1
        self.tokens = Recomputation(network, images, chunk, draws)
        self.tokens.boundaries = self._boundaries(scratch)
        self.parameters = objective.parameters(network)
        self.gradients: list[Tensor | None] = [None] * len(self.parameters)
        self.by_entered: list[Tensor] = []
        self.by_left: list[Tensor] = []

    def losses(self) -> Losses:
        self.tokens.forward()
        self.by_entered = [torch.zeros_like(tokens) for tokens in self.tokens.entered]
        self.by_left = [torch.zeros_like(tokens) for tokens in self.tokens.left]
        total = self._read_dense() if self.dense else self._read_label()
        values = {"target": total}
        for name in self.objective.asides:
            values[name] = self._read_aside(name)
            total = total + self.objective.asides[name].weight * values[name]
        for stage in reversed(range(self.last + 1)):
            self._backward_among(stage)
            for chosen in self.tokens.chunks():
                self._backward_within(stage, chosen)
            self._leave(stage)
        known: Any = Known.apply
        return Losses(known(total, self.gradients, *self.parameters), values)

    def _boundaries(self, scratch: Path | None) -> Boundaries | None:
        """Where patches between stages are kept."""
        raise NotImplementedError

    def _read_dense(self) -> Tensor:
        """Value of the dense loss; its gradient by the region tokens, at least, is added to `by_entered`."""
        raise NotImplementedError

    def _backward_within(self, stage: int, chosen: slice) -> None:
        raise NotImplementedError

    def _leave(self, stage: int) -> None:
        """Forget what later stages alone needed."""
        del self.tokens.left[stage], self.tokens.entered[stage]
        del self.by_left[stage], self.by_entered[stage]

    def _read_label(self) -> Tensor:
        final = self.tokens.entered[-1].detach().requires_grad_()
        loss: Tensor = self.target(self.network.read_label(final, self.tokens.windows.grid))
        self._collect([loss], [torch.ones_like(loss)], [final], [self.by_entered[-1]])
        return loss.detach()

    def _read_aside(self, name: str) -> Tensor:
        aside = self.objective.asides[name]
        kept, known = (
            (self.tokens.left, self.by_left) if aside.after == "local" else (self.tokens.entered, self.by_entered)
        )
        read = kept[aside.stage].detach().requires_grad_()
        loss = aside.loss(read)
        self._collect([loss], [torch.full_like(loss, aside.weight)], [read], [known[aside.stage]])
        return loss.detach()

    def _backward_among(self, stage: int) -> None:
        left = self.tokens.left[stage].detach().requires_grad_()
        self._collect([self.tokens.among(stage, left)], [self.by_entered[stage]], [left], [self.by_left[stage]])

    def _collect(
        self, outputs: Sequence[Tensor], cotangents: Sequence[Tensor], inputs: Sequence[Tensor], known: Sequence[Tensor]
    ) -> None:
        """Add gradients by the parameters to those that are known, and those by the inputs to `known`."""
        reached = [
            (output, cotangent) for output, cotangent in zip(outputs, cotangents, strict=True) if output.requires_grad
        ]
        if not reached:  # all that leads here is frozen
            return
        found = torch.autograd.grad(
            [output for output, _ in reached],
            [*inputs, *self.parameters],
            [cotangent for _, cotangent in reached],
            allow_unused=True,
        )
        for cotangent, new in zip(known, found[: len(inputs)], strict=True):
            if new is not None:
                cotangent += new
        add_to(self.gradients, found[len(inputs) :])


class _Recomputed(_ByChunks):
    """Each chunk is computed from its pixels, through all stages up to the one whose gradients are wanted."""

    def _boundaries(self, scratch: Path | None) -> None:
        return None

    def _read_dense(self) -> Tensor:
        """Gradient by the region tokens alone: patches and the head wait for `_backward_within`."""
        total = self.tokens.entered[-1].new_zeros(())
        for chosen in self.tokens.chunks():
            final = self.tokens.entered[-1][chosen].clone().requires_grad_()
            part = self.target.part(self.network.read_dense(self.tokens.last_patches(chosen), final), chosen)
            self.by_entered[-1][chosen] += torch.autograd.grad(part, [final])[0]
            total += part.detach()
        return total

    def _backward_within(self, stage: int, chosen: slice) -> None:
        entering = [tokens.clone().requires_grad_() for tokens in self.tokens.kept(stage, chosen)]
        patches, regions = self.tokens.local(stage, chosen, entering)
        outputs, cotangents = [regions], [self.by_left[stage][chosen]]
        if self.dense and stage == self.last:
            logits = self.network.read_dense(patches, self.tokens.entered[-1][chosen])
            outputs.append(self.target.part(logits, chosen))
            cotangents.append(torch.ones_like(outputs[-1]))
        self._collect(outputs, cotangents, entering, [known[chosen] for known in self.by_entered[:stage]])


class _Stored(_ByChunks):
    """What left a stage was stored; each stage is computed again once, and cotangents overwrite what they are of."""

    def _boundaries(self, scratch: Path | None) -> Boundaries:
        config, windows = self.network.config, self.tokens.windows
        shape = (len(windows), config.window**2, config.width)
        return Boundaries(shape, config.stages if self.dense else config.stages - 1, self.network.region, scratch)

    @property
    def _stored(self) -> Boundaries:
        assert self.tokens.boundaries is not None
        return self.tokens.boundaries

    def _read_dense(self) -> Tensor:
        total = self.tokens.entered[-1].new_zeros(())
        for chosen in self.tokens.chunks():
            patches = self._stored.read(self.last, chosen).detach().requires_grad_()
            final = self.tokens.entered[-1][chosen].clone().requires_grad_()
            part = self.target.part(self.network.read_dense(patches, final), chosen)
            by_patches = torch.zeros_like(patches)
            self._collect([part], [torch.ones_like(part)], [patches, final], [by_patches, self.by_entered[-1][chosen]])
            self._stored.write(self.last, chosen, by_patches)
            total += part.detach()
        return total

    def _backward_within(self, stage: int, chosen: slice) -> None:
        inputs: list[Tensor] = []
        known: list[Tensor] = []
        if stage:
            patches = self._stored.read(stage - 1, chosen).detach().requires_grad_()
            regions = self.tokens.entered[stage - 1][chosen].clone().requires_grad_()
            inputs = [patches, regions]
            known = [torch.zeros_like(patches), self.by_entered[stage - 1][chosen]]
            patches, regions = self.tokens.proceed(stage, chosen, patches, regions)
        else:
            patches, regions = self.tokens.begin(chosen)
        outputs, cotangents = [regions], [self.by_left[stage][chosen]]
        if self._stored.keeps(stage):
            outputs.append(patches)
            cotangents.append(self._stored.read(stage, chosen))
        self._collect(outputs, cotangents, inputs, known)
        if stage:
            self._stored.write(stage - 1, chosen, known[0])

    def _leave(self, stage: int) -> None:
        super()._leave(stage)
        self._stored.forget(stage)
