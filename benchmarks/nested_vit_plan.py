"""The plan of a nested ViT against the network that is built and run: a thousand configurations, and peak memory.

Run: python benchmarks/nested_vit_plan.py [CONFIGURATIONS] [SEED]     writes nested_vit_plan.md beside itself

Operations are added up by torch's own formulas on the meta device, forward, and forward and backward by each way to the
gradients; parameters are counted. Memory is what torch's allocator reports of a step with AdamW, beside what stood
before it, without the files that are mapped into memory; images of noise.
"""

import platform
import sys
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from theodolite.nested_vit.choice import MODES
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.costs import Costs, parameters
from theodolite.nested_vit.counts import count_flops
from theodolite.nested_vit.gradients import losses
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.objectives import Objective, standard_loss

LEAST, TOLERANCE = 2**28, 0.1  # bytes from which the bar holds, and the bar
MOST_WINDOWS = 4  # along a side
FAMILY = (
    ("ordinary", {}, 1024, None, 0),
    ("ordinary", {"target": "label"}, 1024, None, 0),
    ("ordinary", {"dropout": 0.1}, 1024, None, 0),
    ("ordinary", {"classes": 21}, 1024, None, 0),
    ("ordinary", {"window": 16, "width": 192, "global_blocks": 1}, 600, None, 0),
    ("ordinary", {"region_tokens": 4, "stages": 3}, 1000, 700, 0),
    ("ordinary", {"channels": 13}, 1333, 801, 0),
    ("recomputed", {}, 1536, None, 220),
    ("recomputed", {"target": "label"}, 1536, None, 220),
    ("recomputed", {"dropout": 0.1, "stages": 3}, 1280, None, 150),
    ("recomputed", {"classes": 21}, 1280, None, 160),
    ("recomputed", {"window": 16, "width": 192, "global_blocks": 1}, 1024, None, 20),
    ("recomputed", {"region_tokens": 4}, 1500, 1100, 200),
    ("recomputed", {"channels": 200}, 1280, None, 130),
    ("stored", {}, 2048, None, 400),
    ("stored", {"target": "label"}, 2048, None, 400),
    ("stored", {"dropout": 0.1, "stages": 3}, 1664, None, 400),
    ("stored", {"classes": 21}, 1536, None, 270),
    ("stored", {"window": 16, "width": 192, "global_blocks": 1}, 1024, None, 30),
    ("stored", {"region_tokens": 4}, 1500, 1900, 350),
)
"""Ways to the gradients, settings that differ from the default's, sides of the image in px, windows in a chunk."""


def draw(generator):
    """One random configuration, an image's height and width, how many images, and windows in a chunk."""

    def between(low, high):
        return int(generator.integers(low, high + 1))

    def one(choices):
        return choices[generator.integers(len(choices))]

    heads, window, patch = between(1, 4), between(1, 8), between(1, 12)
    side = window * patch
    config = NestedViTConfig(
        size=512,
        patch=patch,
        window=window,
        region_tokens=between(1, 5),
        width=int(np.lcm(heads, 4)) * between(1, 4),
        heads=heads,
        stages=one((1, 1, 2, 2, 3)),
        local_blocks=between(1, 2),
        global_blocks=between(1, 2),
        channels=between(1, 8),
        target=one(("dense", "label")),
        classes=one((None, between(1, 12))),
        dropout=one((0, 0, 0, 0, 0.1)),
    )
    height, width = between(1, MOST_WINDOWS * side), between(1, MOST_WINDOWS * side)
    batch = between(1, 3)
    windows = Costs(config, height, width, batch).windows
    return config, height, width, batch, -(-windows // one((1, 1, 2)))


def built(config, height, width, batch, device):
    """A network, images and an objective of noise."""
    with torch.device(device):
        network = NestedViT(config)
        images = torch.randint(0, 256, (batch, config.channels, height, width), dtype=torch.uint8)
        shape = (batch, height, width) if config.target == "dense" else (batch, config.num_classes)
        truth = torch.randint(0, 2, shape, dtype=torch.uint8)
    truth = truth if config.target == "dense" else truth.bool()
    loss = standard_loss(truth, config.target, config.patch * config.window, config.num_classes)
    return network, images, Objective(loss), truth.nbytes


def compare(config, height, width, batch, chunk):
    """What was planned and what was found, by quantity."""
    network, images, objective, _ = built(config, height, width, batch, "meta")
    costs = Costs(config, height, width, batch)
    told = {
        "parameters": (parameters(config), sum(each.numel() for each in network.parameters())),
        "FLOPs, forward": (costs.forward, count_flops(lambda: network(images))),
    }
    for mode in MODES:
        found = count_flops(
            lambda mode=mode: torch.autograd.backward(losses(network, images, objective, mode, chunk).total)
        )
        told[f"FLOPs, forward and backward, {mode}"] = (costs.flops(mode), found)
    return told


def allocated(config, height, width, chunk, mode):
    """Return the most bytes that a step with AdamW held, by torch's allocator, and what stood before it."""
    torch.manual_seed(0)
    network, images, objective, told = built(config, height, width, 1, "cpu")
    optimizer = torch.optim.AdamW(network.parameters())

    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()  # AdamW makes its moments
    optimizer.zero_grad()
    standing = 3 * sum(weight.nbytes for weight in network.parameters()) + images.nbytes + told
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        torch.autograd.backward(losses(network, images, objective, mode, chunk).total)
        optimizer.step()
    results: Any = profiler.profiler
    events = sorted(
        (event.start_ns(), place, event.nbytes())
        for place, event in enumerate(results.kineto_results.events())
        if event.name() == "[memory]"
    )
    sizes = [nbytes for _, _, nbytes in events]
    # files mapped into memory are reported, too: the stored boundaries, each when it comes and when it goes
    costs = Costs(config, height, width)
    if mode == "stored" and costs.boundaries:
        mapped = costs.files // costs.boundaries
        if sizes.count(mapped) != costs.boundaries or sizes.count(-mapped) != costs.boundaries:
            raise RuntimeError(f"a tensor is as large as a boundary, {mapped:,} bytes: take another size")
        sizes = [0 if abs(nbytes) == mapped else nbytes for nbytes in sizes]
    return standing + max(accumulate(sizes))


def memory():
    """Rows of the table of planned and measured peaks of a step, for the family."""
    for mode, fields, height, width, chunk in FAMILY:
        config, across = NestedViTConfig(**fields), width or height
        planned = Costs(config, height, across).peak(mode, chunk or 1)
        found = allocated(config, height, across, chunk, mode)
        off = planned / found - 1
        mark = "" if found < LEAST or abs(off) <= TOLERANCE else ": missed"
        settings = ", ".join(f"{name}={value}" for name, value in fields.items())
        numbers = f"{planned / 2**20:,.0f} | {found / 2**20:,.0f} | {100 * off:+.1f}%{mark}".replace("-", "−")
        yield f"| {mode} | {settings} | {height:,} × {across:,} | {chunk or 'all'} | {numbers} |"


def main(count, seed):
    """Compare and write the tables."""
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    equal, unequal = {}, []
    for _ in range(count):
        drawn = draw(generator)
        for quantity, (planned, found) in compare(*drawn).items():
            equal[quantity] = equal.get(quantity, 0) + (planned == found)
            if planned != found:
                unequal.append(f"{quantity}: {planned} planned, {found} found for {drawn}")
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
        f"Peak of a step with AdamW on one image, float32; the bar is {TOLERANCE:.0%} from {LEAST / 2**20:.0f} MiB on.",
        "",
        "| gradients | unlike the default | image, px | windows a chunk | planned, MiB | allocator, MiB | off by |",
        "|---|---|---|---|---|---|---|",
        *memory(),
    ]
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
