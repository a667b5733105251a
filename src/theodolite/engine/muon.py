"""Muon: momentum whose singular values are made equal, for the weights of linear maps and convolutions.

A gradient is often dominated by a few directions; a step along it hardly moves the others. Here every direction of a
weight moves alike (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks").
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the iteration's odd polynomial: Jordan et al. 2024
ITERATIONS = 5
TINY = 1e-7


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, then each weight's step with singular values near 1, scaled to a root mean square of `lr`.

    Parameters
    ----------
    params : iterable of Tensor or dict
        Weights of at least two axes. The first is that of a matrix's rows; the rest, taken together, its columns.
    lr : float
        Size of a step: the root mean square of what is taken from a weight, about.
    momentum : float
        Share of the gradients before that is kept.

    Raises
    ------
    ValueError
        If a weight has fewer than two axes.
    """

    def __init__(
        self, params: Iterable[Tensor] | Iterable[dict[str, Any]], lr: float = 0.02, momentum: float = 0.9
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})
        for group in self.param_groups:
            if any(weight.ndim < 2 for weight in group["params"]):
                raise ValueError("muon moves matrices and kernels; give vectors to another optimiser")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every weight that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight.grad)
                state["momentum"].mul_(group["momentum"]).add_(weight.grad)
                ahead = weight.grad + group["momentum"] * state["momentum"]
                matrix = ahead.reshape(len(ahead), -1)
                # singular values of 1 give a mean square of 1 over the longer side
                move = orthogonalised(matrix) * max(matrix.shape) ** 0.5
                weight.sub_(group["lr"] * move.reshape(weight.shape))
        return loss


def orthogonalised(matrix: Tensor) -> Tensor:
    """Return U·Vᵀ of a matrix U·S·Vᵀ, but that singular values are only near 1: between 0.68 and 1.14 where S ≫ 0.

    Parameters
    ----------
    matrix : (rows, columns) tensor
        Any; zero stays zero.

    Notes
    -----
    Newton–Schulz iteration on matrix products alone, with an odd polynomial a·x + b·x³ + c·x⁵ that raises small
    singular values fastest.
    """
    a, b, c = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x: Tensor = wide / (wide.norm() + TINY)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T
