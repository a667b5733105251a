"""Memory and time of one training step, by ordinary autograd and by chunks, recomputed or stored, from 512 to 4096 px.

Each step runs in a process of its own; what it adds to the most memory held before the canvas was drawn is printed, and
its processor seconds. ``python benchmarks/nested_vit_memory.py`` prints a table; a result is beside this file.
"""

import json
import subprocess
import sys
import time

import torch

from theodolite.data.twins import TwinCanvases
from theodolite.nested_vit.choice import MODES, USUAL_CHUNK, Mode
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.costs import Costs
from theodolite.nested_vit.gradients import losses
from theodolite.nested_vit.lessons import Lessons
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.samples import batch
from theodolite.nested_vit.showcase import peak_bytes

SIDES = (512, 1024, 2048, 4096)
LARGEST_ORDINARY = 2048  # px: at 4096 ordinary autograd would take about 5 GB


def step(lessons: Lessons, config: NestedViTConfig, side: int, mode: Mode) -> None:
    """One forward and backward pass and one step of AdamW."""
    images, truth = batch(TwinCanvases(side, 0, "train"), config, [0])
    torch.autograd.backward(losses(lessons.network, images, lessons.objective(truth), mode, USUAL_CHUNK).total)
    torch.optim.AdamW(lessons.parameters()).step()


def child(side: int, mode: Mode) -> None:
    """Measure in this process."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = NestedViTConfig()
    lessons = Lessons(NestedViT(config))
    step(lessons, config, config.size, mode)
    base, began = peak_bytes(), time.process_time()
    step(lessons, config, side, mode)
    print(json.dumps({"MB": (peak_bytes() - base) / 1e6, "seconds": time.process_time() - began}))


def main() -> None:
    """Print the table."""
    print(f"{'side, px':>9} {'gradients':>10} {'MB added':>9} {'MB kept, formula':>17} {'CPU s':>7}")
    for side in SIDES:
        costs = Costs(NestedViTConfig(), side)
        for kind in MODES:
            kept = costs.kept(kind, USUAL_CHUNK)
            if kind == "ordinary" and side > LARGEST_ORDINARY:
                print(f"{side:>9} {kind:>10} {'not tried':>9} {kept / 1e6:>17,.0f} {'':>7}")
                continue
            command = [sys.executable, __file__, str(side), kind]
            told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            print(f"{side:>9} {kind:>10} {told['MB']:>9,.0f} {kept / 1e6:>17,.0f} {told['seconds']:>7.1f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        child(int(sys.argv[1]), sys.argv[2])  # type: ignore[arg-type]  # a mode
    else:
        main()
