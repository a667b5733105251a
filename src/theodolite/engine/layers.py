"""Kinds of layers: which occur in networks, and on what inputs to try each."""

import copy
import inspect
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from theodolite.engine.convolution import Conv3d, ConvTranspose3d

_ROWS = 1024  # that a norm is tried on: its weights' gradients are sums over all of them
_WIDE = 32  # side of the one large input that a convolution is tried on


@dataclass(frozen=True)
class Layer:
    """A kind of layer and the inputs to try it on.

    Attributes
    ----------
    name : str
        Class, channels, kernel, stride, padding: what makes it a kind of its own.
    module : Module
        A layer of that kind; its weights do not matter.
    shapes : tuple of tuple of int
        Shapes of the inputs.
    terms : int
        Products in one number of the output.
    roundings : int
        How often a number is rounded on its way: 3 for one product of matrices.
    narrow : bool
        Whether the layer is handed bfloat16, as the output of another layer.
    """

    name: str
    module: nn.Module
    shapes: tuple[tuple[int, ...], ...]
    terms: int = 1
    roundings: int = 3
    narrow: bool = False


class Applied(nn.Module):
    """A function of `torch.nn.functional` as a layer, so that it is checked like one."""

    def __init__(self, name: str, *arguments: Any) -> None:
        super().__init__()
        self.name, self.arguments = name, arguments

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function."""
        result: Tensor = getattr(F, self.name)(x, *self.arguments)
        return result


class Attention(nn.Module):
    """Scaled dot-product attention of (3, batch, head, token, feature): queries, keys and values."""

    def __init__(self, *, masked: bool) -> None:
        super().__init__()
        self.masked = masked

    def forward(self, x: Tensor) -> Tensor:
        """Mix; where masked, every third token is unseen."""
        tokens = x.shape[3]
        mask = (torch.arange(tokens, device=x.device) % 3 != 1).expand(x.shape[1], 1, 1, tokens)
        queries, keys, values = x.unbind()
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask if self.masked else None)


_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_TOKENS = tuple((3, 2, 4, tokens, 16) for tokens in (1, 5, 65))
_FUNCTIONS = {  # by the name under which a forward calls them
    "relu": (Layer("relu", Applied("relu"), ((64, 33),), narrow=True),),
    "leaky_relu": (Layer("leaky_relu", Applied("leaky_relu", 0.2), ((64, 33),), narrow=True),),
    "gelu": (Layer("gelu", Applied("gelu"), ((64, 33),), narrow=True),),
    "silu": (Layer("silu", Applied("silu"), ((64, 33),), narrow=True),),
    "scaled_dot_product_attention": (
        # scores, their exponentials, the mixture, and each again on the way back
        Layer("attention", Attention(masked=False), _TOKENS, terms=65, roundings=12, narrow=True),
        Layer("attention with a mask", Attention(masked=True), _TOKENS, terms=65, roundings=12, narrow=True),
    ),
}


def layers_of(networks: Iterable[nn.Module]) -> list[Layer]:
    """List the kinds of layers that occur in networks, each once.

    Linear layers, convolutions, their transposes and norms are found as modules, with their own channels, kernels,
    strides and paddings; functions by the names that a module's forward calls.
    """
    found: dict[str, Layer] = {}
    for network in networks:
        for module in network.modules():
            if layer := _layer(module):
                found.setdefault(layer.name, layer)
            code = getattr(inspect.unwrap(type(module).forward), "__code__", None)
            for name in code.co_names if code else ():
                for layer in _FUNCTIONS.get(name, ()):
                    found.setdefault(layer.name, layer)
    return list(found.values())


def standard_layers() -> list[Layer]:
    """List what the families are made of, in small: for `theodolite doctor`."""
    modules = nn.ModuleList(
        [
            nn.Linear(64, 192),
            nn.Conv1d(8, 16, 3, padding=1),
            nn.Conv2d(8, 16, 3, padding=1),
            Conv3d(3, 16, (3, 3, 3)),
            Conv3d(16, 16, (3, 3, 3)),
            Conv3d(16, 16, (5, 5, 5)),
            Conv3d(16, 3, (1, 1, 1)),
            nn.ConvTranspose2d(16, 8, 2, 2),
            ConvTranspose3d(16, 8, (2, 2, 2)),
            nn.LayerNorm(64),
            nn.GroupNorm(4, 16),
        ]
    )
    narrow_norm = Layer("LayerNorm of 64, handed bfloat16", nn.LayerNorm(64), ((_ROWS, 64),), narrow=True)
    functions = (layer for layers in _FUNCTIONS.values() for layer in layers)
    return list({layer.name: layer for layer in (*layers_of([modules]), narrow_norm, *functions)}.values())


def _layer(module: nn.Module) -> Layer | None:
    if isinstance(module, nn.Linear):
        inputs = module.in_features
        name = f"Linear {inputs}→{module.out_features}"
        return Layer(name, module, ((1, inputs), (5, inputs), (64, inputs), (2, 33, inputs)), terms=max(inputs, 66))
    if isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        name = f"{type(module).__name__} of {by(module.normalized_shape)}"
        # handed float32, as the sum that a residual network passes on is
        return Layer(name, module, ((_ROWS, *module.normalized_shape), (2, 17, *module.normalized_shape)))
    if isinstance(module, nn.GroupNorm):
        name = f"GroupNorm of {module.num_channels} in {module.num_groups}"
        return Layer(name, module, ((4, module.num_channels, 6, 5),), narrow=True)
    if isinstance(module, _CONVOLUTIONS):
        shapes = tuple(_maps(module))
        positions = max(math.prod(shape) // shape[1] for shape in shapes)
        return Layer(_convolution_name(module), module, shapes, terms=max(module.weight[0].numel(), positions))
    return None


def by(sides: Iterable[object]) -> str:
    """Write sides as a reader does: 2×3×4."""
    return "×".join(map(str, sides))


def _convolution_name(module: Any) -> str:
    words = [f"{type(module).__name__} {module.in_channels}→{module.out_channels}, kernel {by(module.kernel_size)}"]
    for name, usual in (("stride", 1), ("padding", 0), ("dilation", 1)):
        value = getattr(module, name)
        if isinstance(value, str) or set(value) != {usual}:
            words.append(f"{name} {value if isinstance(value, str) else by(value)}")
    if module.groups > 1:
        words.append(f"{module.groups} groups")
    return ", ".join(words)


def _maps(module: nn.Module) -> Iterator[tuple[int, ...]]:
    """Inputs of a convolution: every depth up to twice its kernel's, where borders meet, and a wide one."""
    kernel: tuple[int, ...] = module.kernel_size  # type: ignore[assignment]  # a tuple, one number an axis
    channels: int = module.in_channels  # type: ignore[assignment]
    sides = tuple(side + 1 for side in kernel[1:])
    wide = (2, *[_WIDE] * len(sides)) if len(kernel) == 3 else (_WIDE,) * len(kernel)
    for shape in [(2, channels, depth, *sides) for depth in range(1, 2 * kernel[0] + 1)] + [(1, channels, *wide)]:
        try:
            copy.deepcopy(module).to("meta")(torch.empty(shape, device="meta"))
        except RuntimeError:  # smaller than the kernel, and not padded
            continue
        yield shape
