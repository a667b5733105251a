"""What one order of adding gradients costs beside none: milliseconds a step of every family, medians.

Run: python benchmarks/fixed_reduction.py [REPEATS]     writes fixed_reduction.md beside itself
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

REPEATS = 7
PROCESSES = (1, 2)
STEPS = {"linear-vae": 100, "gan": 40, "video-unet": 6, "nested-vit": 4}
REDUCTIONS = ("plain", "fixed")


def build(name, reduction):
    """A family's task with its default settings, without evaluations, and how it is trained."""
    from theodolite import families

    family = families.find(name)
    settings = {"steps": STEPS[name], "device": "cpu", "reduction": reduction}
    config, training = families.split(family, {**settings, **({"data": "digits"} if name == "gan" else {})})
    train = family.part("train")
    if name == "linear-vae":
        data = train.load(config)
        summary = data.summary()
        task = train.Ascent(config, training, summary, lambda ids: data.take(data.train_ids[ids], summary.mean))
    elif name == "gan":
        task = train.Game(config, training, train.load(config))
    elif name == "video-unet":
        task = train.VideoUNetTask(config, training, train.samples(config))
    else:
        task = train.TwinsTask(config, training)
    task.evaluate_every = 0
    return task, training


def measure(repeats):
    """Print the times of each family and reduction as JSON: (wall, processor) milliseconds a step, each time.

    The two reductions take turns, so that none meets a quieter machine. The first turn warms up and is left out.
    """
    from theodolite.engine.loop import fit

    times = {}
    for name in STEPS:
        for turn in range(repeats + 1):
            for reduction in REDUCTIONS:
                task, training = build(name, reduction)
                wall, processor = time.perf_counter(), time.process_time()
                fit(task, training)
                spent = time.perf_counter() - wall, time.process_time() - processor
                if turn:
                    times.setdefault(f"{name} {reduction}", []).append([1000 * s / training.steps for s in spent])
    if os.environ.get("RANK", "0") == "0":
        print("times", json.dumps(times))


def launch(processes, repeats):
    """The times that the first of so many processes measured."""
    words = [__file__, "measure", str(repeats)]
    if processes > 1:
        words = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run([sys.executable, *words], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("times"))[len("times") :])


def main(repeats):
    """Measure and write the table."""
    import torch

    lines = [
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, "
        f"python {platform.python_version()}, torch {torch.__version__}",
        "",
        f"Milliseconds a step, medians of {repeats} trainings each (smallest to largest); one thread a process,",
        "default settings (GAN on digits), no evaluations, no checkpoints. CPU is that of the first process.",
        "",
        "| family | processes | plain | fixed | fixed / plain | plain, CPU | fixed, CPU |",
        "|---|---|---|---|---|---|---|",
    ]
    for processes in PROCESSES:
        times = launch(processes, repeats)
        for name in STEPS:
            walls, processors = (
                [[one[which] for one in times[f"{name} {reduction}"]] for reduction in REDUCTIONS] for which in (0, 1)
            )
            plain, fixed = map(statistics.median, walls)
            shown = [f"{statistics.median(each):.3g} ({min(each):.3g} to {max(each):.3g})" for each in walls]
            of_processor = [f"{statistics.median(each):.3g}" for each in processors]
            cells = [name, str(processes), *shown, f"{fixed / plain:.2f}", *of_processor]
            lines.append(f"| {' | '.join(cells)} |")
    table = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(int(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else REPEATS)
