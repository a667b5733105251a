"""Gradients of every layer of the video U-Net in bfloat16 against float32: ours, and torch's own layers beside them.

Run: python benchmarks/video_unet_bfloat16.py [THREADS]     writes video_unet_bfloat16.md beside itself

Small channels with every kernel of sides 1, 3, 5, 7, along one axis and along all, at depths 1 to 12; then every layer
of the default network at larger maps. Each side runs in processes of its own, as this processor is and as one without
matrix tiles (AMX), which is simulated; a process that dies is said to have.
"""

import itertools
import json
import math
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn

from theodolite.engine.convolution import Conv3d, ConvTranspose3d
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.model import VideoUNet

BAR = 1e-2
DEPTHS = range(1, 13)
CHANNELS = ((3, 8), (16, 8), (8, 3), (5, 7))
LARGE_DEPTHS = (1, 2, 3, 5, 8, 12)
PROCESSORS = {"as it is": {}, "without AMX": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}}
SIDES = ("theodolite", "torch")


def kernels():
    """Every kernel and the row of the table that it belongs to."""
    for side in (1, 3, 5, 7):
        for kernel in sorted({(side,) * 3, (side, 1, 1), (1, side, 1), (1, 1, side)}):
            yield f"kernel {side}", kernel


def cases():
    """Rows, layers and shapes of their inputs."""
    for (row, kernel), channels, depth in itertools.product(kernels(), CHANNELS, DEPTHS):
        yield row, Conv3d(*channels, kernel), (2, channels[0], depth, 6, 5)
    for window, channels, depth in itertools.product(((2, 2, 2), (1, 2, 2), (3, 2, 1)), CHANNELS, DEPTHS):
        yield "up-convolution", ConvTranspose3d(*channels, window), (2, channels[0], depth, 6, 5)
    layers = {}
    for part in VideoUNet(VideoUNetConfig()).modules():
        if isinstance(part, (Conv3d, ConvTranspose3d)):
            layers[type(part), part.in_channels, part.out_channels] = part
    for part, depth in itertools.product(layers.values(), LARGE_DEPTHS):
        height = 32 if part.in_channels < 256 else 16
        yield "default network, wide maps", part, (1, part.in_channels, depth, height, 32)


def torchs(layer):
    """Torch's own layer with the same weights."""
    kind, sides = (nn.Conv3d, {"padding": layer.padding})
    if isinstance(layer, ConvTranspose3d):
        kind, sides = nn.ConvTranspose3d, {"stride": layer.stride}
    own = kind(layer.in_channels, layer.out_channels, layer.kernel_size, **sides)
    own.load_state_dict(layer.state_dict())
    return own


def gradients(layer, shape, narrow):
    """Output, and gradients of input, weights and bias, by name."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).bfloat16().float().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
        y = layer(x)
    y.backward(torch.randn(y.shape, generator=generator).bfloat16().to(y.dtype))
    made = {"output": y.detach(), "input": x.grad, "weights": layer.weight.grad, "bias": layer.bias.grad}
    return {name: tensor.clone() for name, tensor in made.items()}


def relative(found, right):
    """Error in norm; of what is zero by nature, 0 where it is zero; infinite where a number is not finite."""
    off, size = float((found.double() - right.double()).norm()), float(right.double().norm())
    return (off / size if size else float(off > 0)) if math.isfinite(off) else math.inf


def work(side):
    """In a process of its own: print each layer's worst gradient as soon as it is known."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(0)
    for row, layer, shape in cases():
        right = gradients(torchs(layer), shape, narrow=False)
        found = gradients(layer if side == "theodolite" else torchs(layer), shape, narrow=True)
        error, what = max((relative(found[name], right[name]), name) for name in right)
        where = f"{what}, {layer.in_channels} → {layer.out_channels}, {by(layer.kernel_size)} on {by(shape[2:])}"
        print(json.dumps([row, error, where]), flush=True)


def by(sides):
    """Write sides."""
    return "×".join(map(str, sides))


def collect(side, environment, threads):
    """What a process printed, by row, and how it ended."""
    line = [sys.executable, __file__, "--side", side]
    environment = os.environ | environment | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    rows = {}
    for row, error, where in map(json.loads, done.stdout.splitlines()):
        rows.setdefault(row, []).append((error, where))
    if done.returncode and (done.returncode > 0 or side == "theodolite"):
        raise SystemExit(done.stderr)
    return rows, signal.Signals(-done.returncode).name if done.returncode else ""


def main(threads):
    """Measure and write the table."""
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {threads} threads, {platform.machine()} "
        f"({torch.backends.cpu.get_cpu_capability()}), python {platform.python_version()}, torch {torch.__version__}",
        "",
        f"Wrong: the output, or the gradient of input, weights or bias, is off by more than {BAR:g} of its norm.",
        "",
        "| | processor | layers tried | wrong | largest error | of |",
        "|---|---|---|---|---|---|",
    ]
    missed = 0
    for (processor, environment), side in itertools.product(PROCESSORS.items(), SIDES):
        rows, ended = collect(side, environment, threads)
        for row, found in rows.items():
            wrong = sum(error > BAR for error, _ in found)
            error, where = max(found)
            missed += wrong * (side == "theodolite")
            lines.append(f"| {side}: {row} | {processor} | {len(found)} | {wrong} | {error:.2g} | {where} |")
        if ended:
            lines.append(f"| {side} | {processor} | | the process ended here: {ended} | | |")
    lines += ["", f"Of theodolite's layers {missed or 'none'} is wrong."]
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    if "--side" in sys.argv:
        work(sys.argv[-1])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
