"""The plan of a video U-Net against the network that is built and run: a thousand configurations, and peak memory.

Run: python benchmarks/video_unet_plan.py [CONFIGURATIONS] [SEED]     writes video_unet_plan.md beside itself

Shapes are noted by hooks; parameters counted; nominal multiply-adds counted by torch's own counter and those inside the
clip by convolutions of ones; receptive fields are supports of gradients; memory is what torch's allocator reports for a
forward and a backward pass.
"""

import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch

from theodolite.video_unet import probes
from theodolite.video_unet.architecture import maps
from theodolite.video_unet.blueprint import shape
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.model import VideoUNet
from theodolite.video_unet.plan import sees
from theodolite.video_unet.step_memory import CLIPS, LEAST, TOLERANCE, peak_bytes

LARGEST_SIDE, LARGEST_CELL = 13, 16
FAMILY = (
    {},
    {"base": 16, "frames": 24, "height": 96, "width": 96},
    {"base": 16, "frames": 24, "height": 96, "width": 96, "skips": False},
    {"base": 16, "frames": 17, "height": 101, "width": 113, "rounding": "down"},
    {"base": 16, "frames": 16, "height": 128, "width": 128, "convs_per_stage": 1},
    {"base": 16, "frames": 32, "height": 80, "width": 80, "stages": 4},
    {"frames": 16, "height": 64, "width": 96},
    {"frames": 10, "height": 112, "width": 112},
)
"""Settings that differ from the default's; the default itself stays below the size from which the bar holds."""


def draw(generator):
    """One random configuration whose network has something to pool, with channels that keep it quick."""

    def one(choices):
        return choices[generator.integers(len(choices))]

    def sides(choices):
        return one(choices) if generator.random() < 0.5 else [one(choices) for _ in range(3)]

    while True:
        stages, pool, rounding = one((1, 2, 3)), sides((1, 2, 3)), one(("up", "down"))
        cells = [each**stages for each in (pool if isinstance(pool, list) else [pool] * 3)]
        if max(cells) <= LARGEST_CELL:
            break
    least = cells if rounding == "down" else (1, 1, 1)
    size = (int(generator.integers(low, max(cell, LARGEST_SIDE) + 1)) for low, cell in zip(least, cells, strict=True))
    return VideoUNetConfig(
        **dict(zip(("frames", "height", "width"), size, strict=True)),
        channels=one((1, 2, 3)),
        stages=stages,
        convs_per_stage=one((1, 2, 3)),
        base=one((1, 2)),
        kernel=sides((1, 3, 5, 7)),
        pool=pool,
        rounding=rounding,
        code_channels=one((None, 1, 3)),
        up=one(("transposed", "resize")),
        skips=one((True, False)),
    )


def compare(config):
    """What was planned and what was found, by quantity."""
    made, network = maps(config), VideoUNet(config)
    seen = probes.observed_shapes(network, torch.rand(1, config.channels, config.frames, config.height, config.width))
    return {
        "dimensions of every map": ({e.name: shape(e) for e in made}, {e.name: seen.get(e.name) for e in made}),
        "parameters": (sum(e.parameters for e in made), sum(each.numel() for each in network.parameters())),
        "multiply-adds, nominal": (sum(e.work for e in made), probes.multiply_adds(config)),
        "multiply-adds inside the clip": (sum(e.work_inside for e in made), probes.multiply_adds_inside(config)),
        "receptive field along each axis": (
            [sees(config, axis) for axis in range(3)],
            [probes.receptive_field(config, axis) for axis in range(3)],
        ),
        "bytes kept for the backward pass": (sum(e.kept for e in made), probes.kept_bytes(config)),
        "weights that never see data": (sum(e.dead for e in made), probes.dead_weights(config)),
    }


def memory():
    """Planned and measured peaks of a step, for the family."""
    for fields in FAMILY:
        config = VideoUNetConfig(**fields)
        yield config, peak_bytes(config, CLIPS), probes.peak_bytes(config, CLIPS)


def main(count, seed):
    """Compare and write the tables."""
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    equal, unequal = {}, []
    for _ in range(count):
        config = draw(generator)
        for quantity, (planned, found) in compare(config).items():
            equal[quantity] = equal.get(quantity, 0) + (planned == found)
            if planned != found:
                unequal.append(f"{quantity}: {planned} planned, {found} found for {config}")
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, python {platform.python_version()}, "
        f"torch {torch.__version__}, seed {seed}",
        "",
        "| planned and found are equal | of configurations |",
        "|---|---|",
        *(f"| {quantity} | {found:,} of {count:,} |" for quantity, found in equal.items()),
        "",
        *unequal[:10],
        "",
        f"Peak of a forward and a backward pass of {CLIPS} clips in float32, weights left out; the bar is "
        f"{TOLERANCE:.0%} from {LEAST / 2**20:.0f} MiB on.",
        "",
        "| frames × height × width | base | differs from the default in | planned, MiB | measured, MiB | off by |",
        "|---|---|---|---|---|---|",
    ]
    for config, planned, found in memory():
        size = f"{config.frames} × {config.height} × {config.width}"
        default, sized = VideoUNetConfig().model_dump(), {"frames", "height", "width", "base"}
        other = ", ".join(f"{k}={v}" for k, v in config.model_dump().items() if v != default[k] and k not in sized)
        off = planned / found - 1
        mark = "" if found < LEAST or abs(off) <= TOLERANCE else ": missed"
        numbers = f"{planned / 2**20:,.0f} | {found / 2**20:,.0f} | {100 * off:+.1f}%{mark}"
        lines.append(f"| {size} | {config.base} | {other} | {numbers.replace('-', '−')} |")
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
