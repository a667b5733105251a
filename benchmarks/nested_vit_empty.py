"""What empty windows cost: each computed, equal ones once in the first stage, and skipped in later ones.

One training step (loss and exact gradients) on an image of which a share of the windows is empty, by stored stages and
by recomputation; and what skipping does to a trained network: intersection over union on held-out canvases of a run,
with and without.

Run: python benchmarks/nested_vit_empty.py RUN [SIDE] [REPEATS]     writes nested_vit_empty.md beside itself
RUN is a folder of `theodolite nested-vit train`.
"""

import platform
import statistics
import sys
import time
from pathlib import Path
from unittest.mock import patch

import torch

from theodolite.data.twins import TwinCanvases
from theodolite.engine.export import load_weights
from theodolite.kernel.runs import RunFolder
from theodolite.nested_vit import model
from theodolite.nested_vit.config import NestedViTConfig, NestedViTTraining
from theodolite.nested_vit.evaluation import evaluate
from theodolite.nested_vit.gradients import losses
from theodolite.nested_vit.lessons import Lessons
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.objectives import Objective, standard_loss
from theodolite.nested_vit.samples import images_of
from theodolite.nested_vit.windows import Windows

SHARES = (0.0, 0.5, 0.9)
CHUNK = 16
WAYS = ("every window computed", "equal ones once in stage 1", "empty ones skipped later")


def apart(tiles, seen):
    """Every window its own group."""
    return torch.arange(len(tiles)), torch.arange(len(tiles))


def image(config, side, share):
    """Noise in a random choice of windows, one colour in the others."""
    cell = config.patch * config.window
    drawn = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (1, config.channels, side, side), generator=drawn, dtype=torch.uint8)
    empty = torch.rand(1, 1, side // cell, side // cell, generator=drawn) < share
    empty = empty.repeat_interleave(cell, 2).repeat_interleave(cell, 3)
    return torch.where(empty, torch.tensor(240, dtype=torch.uint8), noise), float(empty.float().mean())


def step(config, images, mode, way):
    """A function that does one step: forward, and gradients by every parameter."""
    torch.manual_seed(0)
    network = NestedViT(config.model_copy(update={"skip_empty": way == WAYS[2]}))
    truth = torch.rand(images.shape[0], *images.shape[2:]) < 0.5
    objective = Objective(standard_loss(truth, "dense", config.patch * config.window, 1))

    def run():
        with patch.object(model, "alike", apart if way == WAYS[0] else model.alike):
            losses(network, images, objective, mode, CHUNK).total.backward()

    return run


def seconds(runs, repeats):
    """Median processor seconds of each, in turn; the first turn is not counted."""
    found = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            began = time.process_time()
            run()
            if turn:
                found[name].append(time.process_time() - began)
    return {name: statistics.median(each) for name, each in found.items()}


def quality(run):
    """Intersection over union of a trained network with empty windows computed and skipped, and their share."""
    config, training = run.settings(NestedViTConfig), run.settings(NestedViTTraining)
    lessons = Lessons(NestedViT(config), run.path)
    load_weights(run, {"lessons": lessons})
    found = {}
    for skip in (False, True):
        lessons.network.config = config.model_copy(update={"skip_empty": skip})
        found[skip] = evaluate(lessons, config, training.seed, config.held_out).iou()
    ink = TwinCanvases(config.size, training.seed, "held out").canvases(range(config.held_out)).ink
    windows = Windows(images_of(ink, config.channels), config.patch * config.window)
    return found, float(windows.empty(windows.all).float().mean())


def main(run, side, repeats):
    """Measure and write."""
    torch.set_num_threads(1)
    config = run.settings(NestedViTConfig)
    lines = [
        "# What empty windows cost the nested ViT",
        "",
        f"{time.strftime('%Y-%m-%d')}, 1 thread, {platform.machine()}, torch {torch.__version__}",
        "",
        f"One training step on {side} × {side} px, width {config.width}, {config.stages} stages, chunks of {CHUNK} "
        f"windows: median of {repeats}, CPU s, all ways in turn.",
        "",
        f"| gradients | empty windows | {' | '.join(WAYS)} |",
        "|---|---|---|---|---|",
    ]
    for mode in ("recomputed", "stored"):
        for share in SHARES:
            images, empty = image(config, side, share)
            found = seconds({way: step(config, images, mode, way) for way in WAYS}, repeats)
            lines.append(f"| {mode} | {empty:.0%} | {' | '.join(f'{found[way]:.2f}' for way in WAYS)} |")
    found, empty = quality(run)
    computed, skipped = found[False], found[True]
    lines += [
        "",
        "The first two columns are the same function to the last bits. The third is another: a network trained with "
        f"all windows ({config.size} px canvases, {empty:.0%} of their windows empty) marks held-out twins with an "
        f"intersection over union of {computed[0]:.3f} ± {computed[1]:.3f} when they are computed, "
        f"{skipped[0]:.3f} ± {skipped[1]:.3f} when they are skipped.",
    ]
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    given = sys.argv[2:]
    main(RunFolder.open(Path(sys.argv[1])), int(given[0]) if given else 1024, int(given[1]) if given[1:] else 5)
