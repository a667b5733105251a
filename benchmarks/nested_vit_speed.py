"""The nested ViT beside our own plain ViT with 8-px patches and fused attention: one forward and backward pass.

Equal width, heads and layers a patch passes; both in float32. Ours gives a logit for every pixel, the plain one for the
image. The plain one is trained by ordinary autograd, where nothing is computed twice; ours so, too, and from stored
stages, which is a third more work in less memory. Each pass runs in a process of its own after one on a small
image. At 2048 px the plain network of 12 layers is measured with 2 layers and with 1, and their difference counted 11
times more: its layers are alike. At 4096 px the plain
one is extrapolated from 2048 px by operations. Finished passes are kept
in the folder and not repeated.

Run: python benchmarks/nested_vit_speed.py FOLDER [--threads 2] [--repeats 3]     writes nested_vit_speed.md
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from theodolite.kernel.allocation import keep_freed_memory
from theodolite.nested_vit.choice import USUAL_CHUNK, Mode
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.costs import Costs
from theodolite.nested_vit.gradients import losses
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.objectives import BinaryPixels, Objective
from theodolite.nested_vit.plain import PlainViT

Pass = dict[str, Any]
FIELDS = {"width": 192, "heads": 6, "stages": 6, "window": 16, "local_blocks": 2, "global_blocks": 1}
LAYERS = 12
MODES: dict[str, Mode] = {"nested": "ordinary", "nested-stored": "stored"}
BARS = {1024: 10, 2048: 30}
WARM = 128  # px


def built(kind: str, layers: int) -> nn.Module:
    """One of the two networks."""
    config = NestedViTConfig(**FIELDS)
    if kind in MODES:
        return NestedViT(config)
    return PlainViT(config.patch, config.width, config.heads, layers, config.outputs, config.channels)


def work(kind: str, network: nn.Module, images: Tensor) -> None:
    """Forward and backward."""
    if isinstance(network, NestedViT):
        objective = Objective(BinaryPixels(images[:, 0] > 0.5, network.config.patch * network.config.window))
        torch.autograd.backward(losses(network, images, objective, MODES[kind], USUAL_CHUNK).total)
    else:
        torch.as_tensor(network(images)).square().mean().backward()


def flops(kind: str, side: int) -> int:
    """Operations of a pass, by the formulas of the plan."""
    costs = Costs(NestedViTConfig(**FIELDS), side)
    return costs.ordinary if kind == "nested" else 3 * costs.plain(8)  # the plain one's embedding apart: 1 in 10,000


def child(made: Pass) -> None:
    """Measure in this process."""
    torch.manual_seed(0)
    torch.set_num_threads(made["threads"])
    keep_freed_memory()  # as the command line does
    network = built(made["kind"], made["layers"])
    work(made["kind"], network, torch.rand(1, 3, WARM, WARM))
    taken = []
    for _ in range(made["repeats"]):
        images = torch.rand(1, 3, made["side"], made["side"])  # no two windows are equal
        began, began_cpu = time.monotonic(), time.process_time()
        work(made["kind"], network, images)
        taken.append((time.monotonic() - began, time.process_time() - began_cpu))
    wall, cpu = map(statistics.median, zip(*taken, strict=True))
    print(json.dumps({"wall": wall, "cpu": cpu}))


def measured(folder: Path, made: Pass) -> Pass:
    """Give what a pass took, from the folder where it was done before."""
    kept = folder / f"{'-'.join(str(value) for value in made.values())}.json"
    if not kept.exists():
        command = [sys.executable, __file__, str(folder), "--child", json.dumps(made)]
        kept.write_text(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout, encoding="utf-8")
    return dict(json.loads(kept.read_text(encoding="utf-8")))


def plain(folder: Path, side: int, rest: Pass, found: dict[int, Pass]) -> tuple[Pass, str]:
    """What the plain network takes, and how that is known."""
    if side <= min(BARS):
        return measured(folder, {"kind": "plain", "side": side, "layers": LAYERS, **rest}), "measured"
    if side in BARS:
        one, two = (measured(folder, {"kind": "plain", "side": side, "layers": n, **rest}) for n in (1, 2))
        more = LAYERS - 1
        return {name: one[name] + more * (two[name] - one[name]) for name in one}, "from one layer and two"
    largest = max(BARS)
    times = flops("plain", side) / flops("plain", largest)
    return {name: times * found[largest][name] for name in found[largest]}, f"extrapolated from {largest} px"


def main(folder: Path, threads: int, repeats: int) -> None:
    """Measure both and write the table."""
    folder.mkdir(parents=True, exist_ok=True)
    lines, theirs = [], {}
    ours: dict[str, dict[int, Pass]] = {kind: {} for kind in MODES}
    for side in (512, *BARS, 4096):
        rest = {"threads": threads, "repeats": repeats if side < max(BARS) else 1}
        theirs[side], told = plain(folder, side, rest, theirs)
        for kind, found in ours.items():
            how = "measured"
            if side <= max(BARS) or kind == "nested-stored":
                found[side] = measured(folder, {"kind": kind, "side": side, "layers": LAYERS, **rest})
            else:  # ordinary autograd takes more memory than most machines have
                how = f"extrapolated from {max(BARS)} px"
                times = flops("nested", side) / flops("nested", max(BARS))
                found[side] = {name: times * found[max(BARS)][name] for name in found[max(BARS)]}
            ratio = theirs[side]["wall"] / found[side]["wall"]
            bar = f"≥ {BARS[side]}{'' if ratio >= BARS[side] else ': missed'}" if side in BARS else ""
            mine, other = f"{found[side]['wall']:,.2f} | {how}", f"{theirs[side]['wall']:,.1f} | {told}"
            by_operations = flops("plain", side) / flops("nested", side)
            lines.append(f"| {side} | {MODES[kind]} | {mine} | {other} | {ratio:.1f} | {bar} | {by_operations:.1f} |")
            print(lines[-1], flush=True)
    text = "\n".join(
        [
            "# Nested ViT beside a plain ViT with 8-px patches",
            "",
            f"{time.strftime('%Y-%m-%d')}, {threads} threads, {platform.machine()}, torch {torch.__version__}, "
            f"float32; width {FIELDS['width']}, {LAYERS} layers a patch; forward and backward of one image, seconds.",
            "",
            "| side, px | gradients | nested | | plain ViT-8 | | times faster | wanted | by operations, ordinary |",
            "|---|---|---|---|---|---|---|---|---|",
            *lines,
            "",
        ]
    )
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child")
    given = parser.parse_args()
    if given.child:
        child(json.loads(given.child))
    else:
        main(given.folder, given.threads, given.repeats)
