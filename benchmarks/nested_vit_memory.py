"""Memory and time of one training step of the nested ViT as images grow, in anonymous memory over what stood before.

Part ``ways``: the default network by ordinary autograd and by chunks, recomputed or stored, on canvases in memory.
Part ``huge``: images and their truth in files that are read by windows, up to 4096 px at width 192 with 6 stages
(stored in mapped files) and up to 16,384 px at width 64 with 2 (recomputed).

Each step (loss, exact gradients, AdamW) runs in a process of its own. Anonymous memory is that which no file backs; it
is looked at every 5 ms. Finished steps are kept in the folder and not repeated.

Run: python benchmarks/nested_vit_memory.py FOLDER [--parts ways huge] [--threads 2]    writes nested_vit_memory.md
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from theodolite.data.large_images import open_image
from theodolite.data.twins import TwinCanvases
from theodolite.kernel.anonymous import anonymous_bytes, watching
from theodolite.nested_vit.choice import MODES, USUAL_CHUNK
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.costs import Costs
from theodolite.nested_vit.gradients import losses
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.objectives import BinaryPixels, Objective
from theodolite.nested_vit.samples import batch

Step = dict[str, Any]
LARGEST_ORDINARY = 2048  # px: at 4096 ordinary autograd would take about 5 GB
LIMIT = 2**30  # bytes over base at 4096 px, width 192
RATIO = 2.0  # of memory at 4096 px to that at 512
WIDE = {"width": 192, "heads": 6, "stages": 6, "window": 16, "local_blocks": 2, "global_blocks": 1}
LONG = {"width": 64, "heads": 4, "stages": 2, "window": 16, "local_blocks": 2, "global_blocks": 1}
HUGE: list[Step] = [
    *({"name": "wide", "fields": WIDE, "side": side, "mode": "stored"} for side in (512, 2048, 4096)),
    *({"name": "long", "fields": LONG, "side": side, "mode": "recomputed"} for side in (512, 4096, 16384)),
]
WAYS: list[Step] = [
    {"name": "default", "fields": {}, "side": side, "mode": mode}
    for side in (512, 1024, 2048, 4096)
    for mode in MODES
    if mode != "ordinary" or side <= LARGEST_ORDINARY
]
WARM = 256  # px


def drawn(folder: Path, side: int) -> tuple[Path, Path]:
    """Files with noise and a truth of noise, so that no two windows are equal; written once."""
    image, truth = folder / f"image{side}.npy", folder / f"truth{side}.npy"
    random = np.random.default_rng(0)
    for path, shape, highest in ((image, (side, side, 3), 256), (truth, (side, side, 1), 2)):
        if not path.exists():
            made = np.lib.format.open_memmap(path.with_suffix(".part"), mode="w+", dtype=np.uint8, shape=shape)
            for row in range(0, side, 256):
                made[row : row + 256] = random.integers(0, highest, made[row : row + 256].shape, dtype=np.uint8)
            made.flush()
            path.with_suffix(".part").rename(path)
    return image, truth


def train(network: NestedViT, optimizer: torch.optim.Optimizer, step: Step, folder: Path) -> None:
    """Do one step on an image of the wanted size."""
    config, side = network.config, step["side"]
    if step["name"] == "default":
        images, truth = batch(TwinCanvases(side, 0, "train"), config, [0])
        objective = Objective(BinaryPixels(truth.target, config.patch * config.window))
    else:
        image, told = drawn(folder, side)
        images = [open_image(image)]
        objective = Objective(BinaryPixels([open_image(told)], config.patch * config.window))
    optimizer.zero_grad()
    found = losses(network, images, objective, step["mode"], USUAL_CHUNK, scratch=folder)
    torch.autograd.backward(found.total)
    optimizer.step()


def child(folder: Path, step: Step) -> None:
    """Measure in this process."""
    torch.manual_seed(0)
    torch.set_num_threads(step["threads"])
    network = NestedViT(NestedViTConfig(**step["fields"]))
    optimizer = torch.optim.AdamW(network.parameters())
    train(network, optimizer, step | {"side": WARM}, folder)
    base, began, began_cpu = anonymous_bytes(), time.monotonic(), time.process_time()
    with watching() as most:
        train(network, optimizer, step, folder)
    found = {"bytes": most.bytes - base, "cpu": time.process_time() - began_cpu, "wall": time.monotonic() - began}
    print(json.dumps(found))


def measured(folder: Path, step: Step) -> Step:
    """Give what a step took, from the folder where it was done before."""
    kept = folder / f"{step['name']}-{step['side']}-{step['mode']}-{step['threads']}.json"
    if not kept.exists():
        command = [sys.executable, __file__, str(folder), "--child", json.dumps(step)]
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        kept.write_text(told, encoding="utf-8")
    return dict(json.loads(kept.read_text(encoding="utf-8")))


def row(step: Step, found: Step) -> str:
    """Write what one step took, beside what the plan says of it."""
    costs = Costs(NestedViTConfig(**step["fields"]), step["side"], by_windows=step["name"] != "default")
    told = [step["name"], step["side"], step["mode"], f"{found['bytes'] / 2**20:,.0f}"]
    told += [f"{costs.peak(step['mode'], USUAL_CHUNK) / 2**20:,.0f}"]
    told += [f"{costs.flops(step['mode']) / costs.ordinary:.2f}", f"{found['cpu']:,.1f}", f"{found['wall']:,.1f}"]
    return f"| {' | '.join(map(str, told))} |"


def main(folder: Path, parts: list[str], threads: int) -> None:
    """Do the steps and write the table."""
    folder.mkdir(parents=True, exist_ok=True)
    steps = [
        step | {"threads": threads} for part, of in (("ways", WAYS), ("huge", HUGE)) if part in parts for step in of
    ]
    found = [measured(folder, step) for step in steps]
    lines = [
        "# Memory and time of one training step of the nested ViT",
        "",
        f"{time.strftime('%Y-%m-%d')}, {threads} thread{'s' * (threads > 1)}, {platform.machine()}, "
        f"torch {torch.__version__}, float32, chunks of {USUAL_CHUNK} windows. MiB: most anonymous memory over that "
        "before the step, with what the C library has been given back and holds. Plan: what tensors hold, by formula. "
        "Work: operations over those of ordinary autograd.",
        "",
        "| network | side, px | gradients | MiB | plan, MiB | work | CPU s | wall s |",
        "|---|---|---|---|---|---|---|---|",
        *(row(*each) for each in zip(steps, found, strict=True)),
        "",
        "Default: width 64, 2 stages, windows of 64 px, canvases in memory. Wide: width 192, 6 stages of two local "
        "layers and a global one, windows of 128 px. Long: the same at width 64 with 2 stages. Wide and long read "
        "image and truth from files.",
        "",
    ]
    taken = {(step["name"], step["side"], step["mode"]): each["bytes"] for step, each in zip(steps, found, strict=True)}
    if "huge" in parts:
        large, small = taken["wide", 4096, "stored"], taken["wide", 512, "stored"]
        lines += [
            f"Width 192 at 4096 px: {large / 2**20:,.0f} MiB (wanted: at most {LIMIT / 2**20:,.0f}), "
            f"{large / small:.2f} times that at 512 px (wanted: at most {RATIO}).",
            "",
        ]
    text = "\n".join(lines)
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", nargs="+", default=["ways", "huge"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child")
    given = parser.parse_args()
    if given.child:
        child(given.folder, json.loads(given.child))
    else:
        main(given.folder, given.parts, given.threads)
