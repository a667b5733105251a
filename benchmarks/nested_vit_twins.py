"""Row twins marked by the nested network and by its controls: IoU at equal CPU seconds, with all lessons shared.

Controls: local (no global blocks), pooled (the mean of region tokens instead of attention among them), plain ViTs with
patches of 64, 128 and 8 px. All see the same canvases in the same order, learn digits, then twins, then the target, and
spend the same shares of the same CPU seconds on each; what is never trained (global blocks of local) takes no share.

Every run is a process of its own with one thread. Finished ones are kept in the folder and not repeated; more seeds,
sizes and seconds may be asked for later. The page tells all that the folder holds.

Run: python benchmarks/nested_vit_twins.py FOLDER [--seeds 0 1 2] [--sizes 256 512] [--seconds 240 960] [--controls …]
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

Run = dict[str, Any]
Key = tuple[int, int, str]  # size, seconds, control

CONTROLS = ("nested", "local", "pooled", "vit-64", "vit-128", "vit-8")
GOAL = 0.85
PLACE_SCALE = 4.0  # region tokens leave trained local blocks with a spread of 2 to 3, sinusoids have 0.7
WINDOWS = 128  # a step
POINTS = 10  # of each curve
FEW, MANY = 32, 192  # held-out canvases of a point, and of the result
UNITS = 1000  # of the time: lessons and rates follow the share that has passed
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def child(control: str, size: int, seed: int, seconds: float, out: Path) -> None:
    """Train for so many CPU seconds, drawing included and measuring not; write what was found."""
    import torch

    from theodolite.nested_vit.config import NestedViTConfig, NestedViTTraining
    from theodolite.nested_vit.controls import taught
    from theodolite.nested_vit.evaluation import evaluate
    from theodolite.nested_vit.optimiser import LARGEST_GRADIENT, rate
    from theodolite.nested_vit.samples import batch, source_of
    from theodolite.nested_vit.train import PEAK, lesson_at, optimizers

    shares = {"digits_share": 0.45, "twins_share": 0.0 if control == "local" else 0.2}
    config = NestedViTConfig(data="row-twins", size=size, place_scale=PLACE_SCALE, **shares)  # type: ignore[arg-type]
    highest = NestedViTTraining().learning_rate
    torch.manual_seed(seed)
    lessons = taught(control, config)  # type: ignore[arg-type]
    moved = optimizers(lessons, lessons.taught, highest)
    source = source_of(config, seed, "train")
    canvases = max(1, WINDOWS * (config.patch * config.window) ** 2 // size**2)
    curve: list[tuple[float, float, float, float]] = []
    spent, steps = 0.0, 0
    while spent < seconds:
        if spent >= len(curve) * seconds / POINTS:
            seen = evaluate(lessons, config, seed, FEW)
            curve.append((round(spent, 1), seen.iou()[0], seen.digits, seen.twins))
        began = time.process_time()
        lesson, number, total = lesson_at(int(UNITS * spent / seconds), UNITS, config)
        images, truth = batch(source, config, range(steps * canvases, (steps + 1) * canvases))
        lessons.zero_grad()
        lessons(images, truth, lesson)[0].backward()
        torch.nn.utils.clip_grad_norm_(lessons.parameters(), LARGEST_GRADIENT)
        for group in moved[lesson].param_groups:
            group["lr"] = highest * PEAK[lesson] * rate(number, total)
        moved[lesson].step()
        spent, steps = spent + time.process_time() - began, steps + 1
    seen = evaluate(lessons, config, seed, MANY)
    curve.append((round(spent, 1), seen.iou()[0], seen.digits, seen.twins))
    found = {
        "iou": seen.iou(), "best": seen.best_iou(), "digits": seen.digits, "twins": seen.twins, "cpu": spent,
        "steps": steps, "canvases": canvases, "curve": curve,
    }  # fmt: skip
    out.write_text(json.dumps(found), encoding="utf-8")


def measure(folder: Path, control: str, size: int, seed: int, seconds: int) -> None:
    """Do a run in a process of its own, unless the folder holds it."""
    out = folder / f"{control}_{size}_{seed}_{seconds}.json"
    if not out.is_file():
        command = [sys.executable, __file__, str(folder), "--child", control, *map(str, (size, seed, seconds, out))]
        subprocess.run(command, check=True, env=os.environ | dict.fromkeys(THREADS, "1"))


def kept(folder: Path) -> dict[Key, list[Run]]:
    """Runs of the folder, seed by seed."""
    found = defaultdict(list)
    for path in sorted(folder.glob("*_*_*_*.json")):
        control, size, _, seconds = path.stem.split("_")
        found[int(size), int(seconds), control].append(json.loads(path.read_text(encoding="utf-8")))
    return found


def mean_and_interval(runs: list[Run], name: str) -> tuple[float, float]:
    """Mean over seeds, and the half-width of its 95% interval (Student's); of one seed, that over its canvases."""
    import numpy as np
    from scipy.stats import t

    values = np.array([run[name][0] for run in runs])
    if len(values) == 1:
        return float(values[0]), float(runs[0][name][1])
    return float(values.mean()), float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def told(found: dict[Key, list[Run]], size: int, seconds: int) -> str:
    """Table of one size and time, and what it says of the goals."""
    rows, values = "", {}
    for control in CONTROLS:
        runs = found.get((size, seconds, control))
        if not runs:
            continue
        values[control] = mean_and_interval(runs, "best" if control == "local" else "iou")
        best = mean_and_interval(runs, "best")
        digits, twins = (100 * sum(run[name] for run in runs) / len(runs) for name in ("digits", "twins"))
        canvases = sum(run["steps"] * run["canvases"] for run in runs) / len(runs)
        iou = mean_and_interval(runs, "iou")
        rows += (
            f"| {control} | {len(runs)} | {iou[0]:.3f} ± {iou[1]:.3f} | {best[0]:.3f} ± {best[1]:.3f} | {digits:.1f} | "
            f"{twins:.1f} | {canvases:,.0f} | {sum(run['cpu'] for run in runs) / len(runs):.0f} |\n"
        )
    text = (
        f"\n## {size} px, {seconds} CPU seconds\n\n"
        "| network | seeds | IoU | at its best threshold | digits named, % | twins told, % | canvases seen | CPU s |\n"
        f"|---|---|---|---|---|---|---|---|\n{rows}\n"
    )
    if "nested" not in values:
        return text
    ours, error = values.pop("nested")
    text += f"Nested: {'reached' if ours >= GOAL else 'MISSED'}, {ours:.3f}; wanted: {GOAL}. "
    for control, (value, its_error) in values.items():
        apart = ours - error > value + its_error
        text += f"{control}: {'below it' if apart else 'NOT clearly below it'} ({value:.3f}). "
    return text + "\n"


def drawn(found: dict[Key, list[Run]], size: int, seconds: int) -> str:
    """Draw IoU against CPU seconds, the mean over seeds."""
    from theodolite.kernel.exhibits import Chart, Layer
    from theodolite.report.figures import chart_svg

    layers = []
    for control in CONTROLS:
        runs = found.get((size, seconds, control), [])
        points = list(zip(*(run["curve"] for run in runs), strict=False))
        columns = {
            "seconds": [sum(point[0] for point in at) / len(at) for at in points],
            "iou": [sum(point[1] for point in at) / len(at) for at in points],
            "network": [control] * len(points),
        }
        if points:
            layers.append(Layer(mark="line", columns=columns, x="seconds", y="iou", color="network"))
    return chart_svg(
        Chart(
            title=f"Row twins at {size} px: IoU on held-out canvases",
            caption="Mean over seeds; before the last lesson nothing has taught the marks.",
            layers=tuple(layers),
            x_title="CPU seconds of training",
            y_title="IoU",
            roles={"nested": "accent"},
        )
    )


def main() -> None:
    """Do the runs asked for, the smallest first, and write the page and the charts anew after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where finished runs are kept")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--sizes", nargs="*", type=int, default=[256, 512])
    parser.add_argument("--seconds", nargs="*", type=int, default=[240], help="of training; one CPU thread")
    parser.add_argument("--controls", nargs="*", default=list(CONTROLS), choices=CONTROLS)
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        control, size, seed, seconds, out = given.child
        child(control, int(size), int(seed), float(seconds), Path(out))
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    for seconds, size, seed in ((a, b, c) for a in sorted(given.seconds) for b in given.sizes for c in given.seeds):
        for control in given.controls:
            measure(given.folder, control, size, seed, seconds)
            write(given.folder)
    print(write(given.folder))


def write(folder: Path) -> str:
    """Write the page of all that the folder holds, with a chart beside it for each size."""
    import torch

    found = kept(folder)
    text = (
        f"# Row twins: the nested network and its controls\n\n{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, "
        f"{platform.machine()}, torch {torch.__version__}, one thread a run, float32; other work beside it. Width 64; "
        "windows alone can reach 0.5. Intervals: 95% over seeds, of one seed over its 192 held-out canvases.\n"
    )
    for size in sorted({size for size, _, _ in found}):
        times = sorted({seconds for other, seconds, _ in found if other == size})
        text += "".join(told(found, size, seconds) for seconds in times)
        picture = Path(__file__).with_name(f"{Path(__file__).stem}_{size}.svg")
        picture.write_text(drawn(found, size, times[-1]), encoding="utf-8")
        text += f"\n![IoU against CPU seconds at {size} px]({picture.name})\n"
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    return text


if __name__ == "__main__":
    main()
