"""Exact gradients in nearly constant memory: keep region tokens only, compute windows again when they are needed.

Forward, each stage's local blocks run chunk by chunk from the pixels, and only the region tokens that leave them are
kept. Backward, from the last stage to the first: the global blocks of the stage, over all region tokens; then its local
blocks, each chunk computed once more with its graph, which gives gradients to the weights and to the region tokens that
had entered the earlier stages. The derivative of a sum over paths is the sum of the derivatives: nothing is
approximated.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from theodolite.nested_vit.losses import DIGITS_WEIGHT, TWINS_WEIGHT, Losses, PixelLoss, Truth, cross_entropy
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.recompute import Recomputation


class ChunkedLosses(NamedTuple):
    """Values of the losses, and their weighted sum, whose `backward` hands out gradients computed already."""

    values: Losses
    total: Tensor


def chunked_losses(network: NestedViT, images: Tensor, truth: Truth, chunk: int) -> ChunkedLosses:
    """Losses and exact gradients, with only `chunk` windows in memory at a time.

    Parameters
    ----------
    network : NestedViT
        Any.
    images : (batch, 3, height, width) tensor
        Any size; bytes stay bytes until their chunk is computed.
    truth : Truth
        What the network should say.
    chunk : int
        Windows computed at a time: memory is proportional to it.

    Returns
    -------
    ChunkedLosses
        The same numbers as ``losses(network(images), truth)``, with the same gradients by the network's parameters.
    """
    return _Chunked(network, images, truth, chunk).losses()


class _Known(torch.autograd.Function):
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


class _Chunked:
    """One forward and backward pass; `cotangents[s]` is the gradient by the recomputation's `entered[s]`."""

    def __init__(self, network: NestedViT, images: Tensor, truth: Truth, chunk: int) -> None:
        config = network.config
        self.network = network
        self.truth = truth
        self.stages = config.stages
        self.pixel_loss = PixelLoss(truth.target, config.patch, config.window) if config.target == "dense" else None
        self.tokens = Recomputation(network, images, chunk)
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.gradients: list[Tensor | None] = [None] * len(self.parameters)
        self.cotangents: list[Tensor] = []

    def losses(self) -> ChunkedLosses:
        self.tokens.forward()
        self.cotangents = [torch.zeros_like(tokens) for tokens in self.tokens.entered]
        target = self._read_dense(self.pixel_loss) if self.pixel_loss else self._read_label()
        digits, by_digits = self._read_windows(
            self.network.read_digits, self.tokens.left[0], self.truth.digits, DIGITS_WEIGHT
        )
        twins, by_twins = self._read_windows(
            self.network.read_twins, self.tokens.entered[0], self.truth.twins, TWINS_WEIGHT
        )
        self.cotangents[0] += by_twins
        for stage in reversed(range(self.stages)):
            by_left = self._backward_among(stage)
            self._backward_within(stage, by_left if stage else by_left + by_digits)
        values = Losses(target, digits, twins)
        known: Any = _Known.apply
        return ChunkedLosses(values, known(values.total, self.gradients, *self.parameters))

    def _read_label(self) -> Tensor:
        final = self.tokens.entered[-1].detach().requires_grad_()
        loss = cross_entropy(self.network.read_label(final, self.tokens.windows.grid), self.truth.target)
        (self.cotangents[-1],) = self._collect([loss], [torch.ones_like(loss)], [final])
        return loss.detach()

    def _read_dense(self, pixel_loss: PixelLoss) -> Tensor:
        """Value of the dense loss, and its gradient by the region tokens alone: patches wait for `_backward_within`."""
        total = self.tokens.entered[-1].new_zeros(())
        for chosen in self.tokens.chunks():
            patches = self.tokens.last_patches(chosen)
            final = self.tokens.entered[-1][chosen].clone().requires_grad_()
            part = pixel_loss.part(self.network.read_dense(patches, final), chosen)
            (self.cotangents[-1][chosen],) = torch.autograd.grad(part, [final])
            total += part.detach()
        return total

    def _read_windows(
        self, head: Callable[[Tensor], Tensor], regions: Tensor, truth: Tensor, weight: float
    ) -> tuple[Tensor, Tensor]:
        """Value of a loss read from region tokens, and its weighted gradient by them."""
        read = regions.detach().requires_grad_()
        loss = cross_entropy(head(read), truth)
        (by_read,) = self._collect([loss], [torch.full_like(loss, weight)], [read])
        return loss.detach(), by_read

    def _backward_among(self, stage: int) -> Tensor:
        """Gradient by the region tokens that left the local blocks of a stage, along the global blocks."""
        left = self.tokens.left[stage].detach().requires_grad_()
        entered = self.network.among(stage, left, self.tokens.windows.grid)
        (by_left,) = self._collect([entered], [self.cotangents[stage]], [left])
        return by_left

    def _backward_within(self, stage: int, by_left: Tensor) -> None:
        for chosen in self.tokens.chunks():
            entering = [tokens.clone().requires_grad_() for tokens in self.tokens.kept(stage, chosen)]
            patches, regions = self.tokens.local(stage, chosen, entering)
            outputs, cotangents = [regions], [by_left[chosen]]
            if self.pixel_loss and stage == self.stages - 1:
                logits = self.network.read_dense(patches, self.tokens.entered[-1][chosen])
                outputs.append(self.pixel_loss.part(logits, chosen))
                cotangents.append(torch.ones_like(outputs[-1]))
            for number, known in enumerate(self._collect(outputs, cotangents, entering)):
                self.cotangents[number][chosen] += known

    def _collect(
        self, outputs: Sequence[Tensor], cotangents: Sequence[Tensor], inputs: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Add the gradients by the parameters to those known, and return those by the inputs."""
        found = torch.autograd.grad(outputs, [*inputs, *self.parameters], cotangents, allow_unused=True)
        for number, new in enumerate(found[len(inputs) :]):
            old = self.gradients[number]
            self.gradients[number] = new if old is None else old if new is None else old + new
        return found[: len(inputs)]
