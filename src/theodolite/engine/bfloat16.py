"""bfloat16 where this machine computes it right, found by measurement: each kind of layer against float32.

A library may compute a layer wrongly in bfloat16 without a word, on one processor and not on another. Seen with torch
2.13: 3-D convolutions of `torch.nn`, see `engine.convolution`, which is right; and on any processor the gradients of a
layer norm's weights are added up in bfloat16, and err by more the more rows there are.

How far bfloat16 may be off. It keeps 8 bits, so rounding moves a number by at most u = 2⁻⁸ of the power of two below
it: by a root mean square of r = u √((1 − 1/4) / (2 ln 2)) / √3 = 0.425 u of the number itself, where the numbers fill
a power of two evenly on a logarithmic scale. A sum of n products of independent numbers, each factor rounded once and
the sum rounded once, is then off by √3 r of its size whatever n is, for what is summed and its errors both grow like
√n. Adding up in float32 contributes √n 2⁻²⁴ more. Four times that is allowed, for partial sums may be rounded as well:
0.0115 of a tensor's norm. What is right comes to 0.003, those convolutions to 0.2 and more.
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from theodolite.engine.layers import Layer, by

UNIT = 2.0**-8
ROUNDING = UNIT * math.sqrt(0.75 / (2 * math.log(2)) / 3)  # r above
ALLOWANCE = 4
_FEWEST_NUMBERS, _MOST_DRAWS = 64, 16  # of a tensor that is judged by its norm, pooled over draws


def bound(layer: Layer) -> float:
    """Largest relative error that a right computation of a layer makes; see the module's own words."""
    return ALLOWANCE * (math.sqrt(layer.roundings) * ROUNDING + math.sqrt(layer.terms) * 2.0**-24)


@dataclass(frozen=True)
class Check:
    """What a layer was found to do in bfloat16.

    Attributes
    ----------
    layer : str
        Its name.
    error : float
        Largest relative error of a tensor, in norm; infinite where a number is not finite.
    bound : float
        What a right computation stays below.
    where : str
        Of which tensor and for which input.
    """

    layer: str
    error: float
    bound: float
    where: str

    @property
    def right(self) -> bool:
        """Whether forward and gradients are what they should be."""
        return self.error <= self.bound


def check(layer: Layer, device: torch.device) -> Check:
    """Compute a layer in bfloat16 and in float32 (on a GPU, whose float32 may be shortened, in float64), and compare.

    Parameters
    ----------
    layer : Layer
        What to check.
    device : torch.device
        Where.

    Returns
    -------
    Check
        The worst of the output, the input's gradient and each weight's, over all of the layer's inputs.
    """
    worst = Check(layer.name, 0.0, bound(layer), "")
    for shape in layer.shapes:
        for tensor, error in _errors(layer, shape, device).items():
            if error > worst.error:
                where = f"its {tensor} for an input of {by(shape)}"
                worst = Check(layer.name, error, bound(layer), where)
    return worst


def _errors(layer: Layer, shape: tuple[int, ...], device: torch.device) -> dict[str, float]:
    """Relative error of each tensor in norm, pooled over as many draws as a small tensor needs."""
    exact = torch.float64 if device.type == "cuda" else torch.float32
    module = copy.deepcopy(layer.module).requires_grad_(True)
    squares: dict[str, list[float]] = {}
    draws, draw = 1, 0
    while draw < draws:
        right, found = (_tensors(module, layer, shape, draw, device, kind) for kind in (exact, torch.bfloat16))
        for name, reference in right.items():
            pooled = squares.setdefault(name, [0.0, 0.0])
            reference = reference.double()
            # a gradient that does not come at all is one of zeros
            off = found[name].double() - reference if name in found else -reference
            pooled[0] += float(off.square().sum())
            pooled[1] += float(reference.square().sum())
        fewest = min(reference.numel() for reference in right.values())
        draws, draw = min(-(-_FEWEST_NUMBERS // fewest), _MOST_DRAWS), draw + 1
    # what is not finite is infinitely wrong; a gradient that is zero by nature has no relative error
    return {
        name: math.sqrt(off / size) if math.isfinite(off) and size else (math.inf if off else 0.0)
        for name, (off, size) in squares.items()
    }


def _tensors(
    module: nn.Module, layer: Layer, shape: tuple[int, ...], draw: int, device: torch.device, kind: torch.dtype
) -> dict[str, Tensor]:
    """Output and gradients of a layer for inputs, weights and output gradients that the draw's number determines."""
    generator = torch.Generator().manual_seed(draw)
    shorten = kind == torch.bfloat16
    module = module.to(device=device, dtype=torch.float32 if shorten else kind)
    x = torch.randn(shape, generator=generator).to(torch.bfloat16 if layer.narrow else torch.float32)
    x = x.to(device=device, dtype=x.dtype if shorten else kind).requires_grad_(True)
    with torch.no_grad():
        for parameter in module.parameters():
            drawn = torch.randn(parameter.shape, generator=generator) / math.sqrt(max(1, parameter[0].numel()))
            parameter.copy_(drawn)
            parameter.grad = None
    with torch.autocast(device.type, torch.bfloat16, enabled=shorten):
        y: Tensor = module(x)
    # it comes from a layer that computes in bfloat16, too
    gradient = torch.randn(y.shape, generator=generator).bfloat16().to(device=device, dtype=y.dtype)
    torch.autograd.backward(y, gradient)
    tensors = {"output": y.detach(), "input gradient": x.grad}
    tensors |= {f"{name} gradient": parameter.grad for name, parameter in module.named_parameters()}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}
