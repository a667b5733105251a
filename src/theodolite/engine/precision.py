"""bfloat16 where this machine computes it right, found by measurement: each kind of layer against float32.

A library may compute a layer wrongly in bfloat16 without a word, on one processor and not on another: torch 2.13 gives
zeros for 3-D convolutions of one frame on processors with AMX, unrelated weight gradients for those of two frames on
processors with AVX-512 and no AMX, and for layer norms sums over rows that lose a digit with every hundredfold of them.

How far bfloat16 may be off. It keeps 8 bits, so rounding moves a number by at most u = 2⁻⁸ of the power of two below
it: by a root mean square of r = u √((1 − 1/4) / (2 ln 2)) / √3 = 0.425 u of the number itself, where the numbers fill
a power of two evenly on a logarithmic scale. A sum of n products of independent numbers, each factor rounded once and
the sum rounded once, is then off by √3 r of its size whatever n is, for what is summed and its errors both grow like
√n. Adding up in float32 contributes √n 2⁻²⁴ more. Four times that is allowed, for partial sums may be rounded as well:
0.0115 of a tensor's norm. What is right comes to 0.003; what is wrong to 0.3 and more.
"""

import copy
import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from theodolite.engine.devices import choose_device
from theodolite.engine.rates import matmul_rate
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.launch import is_first_process
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.settings import TrainSettings

_KNOWN = ("32-true", "64-true", "bf16-mixed")
UNIT = 2.0**-8
ROUNDING = UNIT * math.sqrt(0.75 / (2 * math.log(2)) / 3)  # r above
ALLOWANCE = 4
WORTH_IT = 2.0  # how much faster a matrix product must be; hardware for bfloat16 gives eight times and more
_FEWEST_NUMBERS, _MOST_DRAWS = 64, 16  # of a tensor that is judged by its norm, pooled over draws
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

    @property
    def bound(self) -> float:
        """Largest relative error that a right computation makes; see the module's own words."""
        return ALLOWANCE * (math.sqrt(self.roundings) * ROUNDING + math.sqrt(self.terms) * 2.0**-24)


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
            nn.Conv3d(3, 16, 3, padding=1),
            nn.Conv3d(16, 16, 3, padding=1),
            nn.Conv3d(16, 16, 5, padding=2),
            nn.Conv3d(16, 3, 1),
            nn.ConvTranspose2d(16, 8, 2, 2),
            nn.ConvTranspose3d(16, 8, 2, 2),
            nn.LayerNorm(64),
            nn.GroupNorm(4, 16),
        ]
    )
    narrow_norm = Layer("LayerNorm of 64, handed bfloat16", nn.LayerNorm(64), ((_ROWS, 64),), narrow=True)
    return [*layers_of([modules]), narrow_norm, *(layer for layers in _FUNCTIONS.values() for layer in layers)]


def _layer(module: nn.Module) -> Layer | None:
    if isinstance(module, nn.Linear):
        inputs = module.in_features
        name = f"Linear {inputs}→{module.out_features}"
        return Layer(name, module, ((1, inputs), (5, inputs), (64, inputs), (2, 33, inputs)), terms=max(inputs, 66))
    if isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        name = f"{type(module).__name__} of {_by(module.normalized_shape)}"
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


def _by(sides: Iterable[object]) -> str:
    return "×".join(map(str, sides))


def _convolution_name(module: Any) -> str:
    words = [f"{type(module).__name__} {module.in_channels}→{module.out_channels}, kernel {_by(module.kernel_size)}"]
    for name, usual in (("stride", 1), ("padding", 0), ("dilation", 1)):
        value = getattr(module, name)
        if isinstance(value, str) or set(value) != {usual}:
            words.append(f"{name} {value if isinstance(value, str) else _by(value)}")
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
    worst = Check(layer.name, 0.0, layer.bound, "")
    for shape in layer.shapes:
        for tensor, error in _errors(layer, shape, device).items():
            if error > worst.error:
                where = f"its {tensor} for an input of {_by(shape)}"
                worst = Check(layer.name, error, layer.bound, where)
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


def choose_precision(training: TrainSettings, networks: Mapping[str, nn.Module]) -> str:
    """Return the precision to train networks in: the one asked for, or the one that measurement favours.

    Left to itself it is bf16-mixed on a GPU whose matrix products are at least twice as fast in it, if every layer
    kind of the networks is computed right there; else float32. On the CPU it is float32: what documents and tests
    state was computed there, and a processor's bfloat16 is rarely faster.

    Raises
    ------
    UsageError
        If bf16-mixed was asked for and a layer kind is computed wrongly on this machine.
    """
    if training.precision not in ("auto", "bf16-mixed"):
        return training.precision
    device = choose_device(training)
    asked = training.precision == "bf16-mixed"
    if not asked and not (device.type == "cuda" and _faster_in_bfloat16(device)):
        return "32-true"
    wrong = first_wrong(networks, device)
    if wrong is None:
        return "bf16-mixed"
    if asked:
        raise UsageError(
            f"precision=bf16-mixed is wrong on this machine: {wrong.layer} errs by {wrong.error:.2g} in {wrong.where}, "
            f"where {wrong.bound:.2g} is allowed; take --precision 32-true"
        )
    return "32-true"


def _faster_in_bfloat16(device: torch.device) -> bool:
    size = 4096
    return matmul_rate(device, torch.bfloat16, size) >= WORTH_IT * matmul_rate(device, torch.float32, size)


def first_wrong(networks: Mapping[str, nn.Module], device: torch.device) -> Check | None:
    """Return the first layer kind of the networks that is computed wrongly in bfloat16; None where there is none."""
    checks = (check(layer, device) for layer in layers_of(networks.values()))
    return next((found for found in checks if not found.right), None)


def settle_precision(training: TrainSettings, networks: Mapping[str, nn.Module], run: RunFolder | None) -> str:
    """Choose the precision of a new run and note it in its ``environment.json``; a resumed run keeps what it began in.

    Raises
    ------
    UsageError
        If it is bf16-mixed and a layer kind is computed wrongly on this machine.
    DataError
        If what the run noted is no precision.
    """
    if run is None:
        return choose_precision(training, networks)
    noted = run.read_json("environment.json")
    if training.precision == "auto" and run.checkpoint.is_file() and "precision" in noted:
        if noted["precision"] not in _KNOWN:
            raise DataError(f"{run.path / 'environment.json'} is damaged: its precision is none of {', '.join(_KNOWN)}")
        return choose_precision(training.model_copy(update={"precision": noted["precision"]}), networks)
    chosen = choose_precision(training, networks)
    if is_first_process() and noted.get("precision") != chosen:
        run.write_json("environment.json", noted | {"precision": chosen})
    return chosen
