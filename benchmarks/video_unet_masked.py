"""Hidden frames of clips nobody has seen, by a trained U-Net and by linear interpolation in time.

Clips are embedded ones, 10 × 32 × 32 × 3: a digit drifts over a photograph that moves by up to two pixels a frame. Of
each so many frames are hidden, drawn anew in every step of the training; of held-out clip i the same ones for both.
PSNR is over hidden frames alone, its mean over 64 clips; a gain is of one clip, with the 95% interval of the mean. Runs
are kept, and trained where they are not there. The result is written beside this file.

Run: python benchmarks/video_unet_masked.py [--runs benchmarks/runs] [--only one]
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

SHARED: dict[str, Any] = {
    "corruption": "masked",
    "base": 16,
    "stages": 2,
    "pool": "1,2,2",
    "loss": "root",
    "temporal_weight": 0.0,
    "structural_weight": 0.0,
    "clips": 100_000,
    "batch_size": 8,
    "learning_rate": 0.05,
    "precision": "bf16-mixed",
    "compare_skips": False,
}
RUNS = {
    "one": {**SHARED, "corruption_level": 0.1, "steps": 1600},
    "half": {**SHARED, "corruption_level": 0.5, "steps": 400},
}
"""By name: one frame of ten hidden, and five, the share that is hidden by default."""
GOAL = 3.0  # dB above interpolation
CPU_GOAL = 600  # seconds
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def trained(name: str, runs: Path) -> tuple[Any, float]:
    """Return a run, and the CPU seconds its training took in a process of its own with one thread."""
    from theodolite.kernel.runs import RunFolder

    spent = runs / f"{name}.json"
    if not spent.is_file():
        command = [sys.executable, __file__, "--runs", str(runs), "--child", name]
        subprocess.run(command, check=True, env=os.environ | dict.fromkeys(THREADS, "1"))
    return RunFolder.open(runs / name), json.loads(spent.read_text())["cpu"]


def child(name: str, runs: Path) -> None:
    """Train, and note what it took."""
    import theodolite

    begun = time.process_time()
    theodolite.train("video-unet", runs / name, device="cpu", **RUNS[name])
    (runs / f"{name}.json").write_text(json.dumps({"cpu": time.process_time() - begun}))


def row(name: str, runs: Path) -> tuple[str, float]:
    """Judge one run: a row of the table, and the mean gain."""
    from theodolite.theory.interpolation import interpolation_error
    from theodolite.video_unet.config import VideoUNetConfig
    from theodolite.video_unet.corruption import hidden_cells
    from theodolite.video_unet.restored import interpolated
    from theodolite.video_unet.samples import held_out_clips
    from theodolite.video_unet.trained import Trained, hidden_psnr, mean_and_uncertainty

    run, cpu = trained(name, runs)
    config = run.settings(VideoUNetConfig)
    both = Trained.load(run, config, held_out_clips(config, config.held_out))
    hidden = both.shown.hidden
    made = hidden_psnr(both.held_out, interpolated(both.held_out, hidden), hidden)
    predicted = float(np.mean(-10 * np.log10(interpolation_error(both.held_out, hidden))))
    network = both.psnr_hidden["with_skips"]
    gain, half = mean_and_uncertainty(network - made)
    return (
        f"| {hidden_cells(config)} of {config.frames} | {RUNS[name]['steps']:,} | {cpu:.0f} | {predicted:.2f} | "
        f"{made.mean():.2f} | {network.mean():.2f} | **{gain:+.2f}** ± {half:.2f} | {(network - made).min():+.2f} |\n"
    ), gain


def made_by(script: str) -> str:
    """Say when, how and where."""
    return (
        f"Made by `python benchmarks/{Path(script).name}` on {datetime.now(UTC):%Y-%m-%d}, {platform.machine()} with "
        f"{os.cpu_count()} cores of which one was used, Python {platform.python_version()}, torch "
        f"{version('torch')}.\n\n"
    )


def main() -> None:
    """Train what is missing, judge, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path(__file__).parent / "runs")
    parser.add_argument("--only", nargs="*", choices=list(RUNS), default=list(RUNS))
    parser.add_argument("--child", choices=list(RUNS))
    given = parser.parse_args()
    given.runs.mkdir(parents=True, exist_ok=True)
    if given.child:
        child(given.child, given.runs)
        return
    rows = {name: row(name, given.runs) for name in given.only}
    best = max(gain for _, gain in rows.values())
    told = (
        f"# {__doc__.splitlines()[0]}\n\n{made_by(__file__)}Goal: {GOAL:g} dB above interpolation after at most "
        f"{CPU_GOAL} CPU seconds; best {best:+.2f} dB.\n\n"
        "| hidden frames | steps | CPU s | interpolation, predicted (dB) | carried out | U-Net | gain, mean | "
        "worst clip |\n|---|---|---|---|---|---|---|---|\n" + "".join(line for line, _ in rows.values())
    )
    Path(__file__).with_suffix(".md").write_text(told, encoding="utf-8")
    print(told)


if __name__ == "__main__":
    main()
