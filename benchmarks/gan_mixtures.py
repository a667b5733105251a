"""Modes, fidelity and balance of GANs trained with default settings on mixtures whose truth is known.

Every run is one call of ``theodolite.train`` in a process of its own with one thread; the seed is that of training, of
the data and of the split alike. A mode counts where its samples of high quality (within 3 standard deviations) are more
than a tenth of what is due to it. The result is written beside this file, after every run.

``grid25-published`` and ``ring8-published`` are those of Lin et al. (2018) and their forerunners: standard deviations
of 0.05 for a pitch of 2, and of 0.01 on a ring of radius 1. They are trained as a file of points, of which the library
knows nothing. Published for them are 17.3 and 6.3 modes of a GAN, 24.8 (93.6% of high quality) and 7.9 of PacGAN, where
a single good sample makes a mode.

Run: python benchmarks/gan_mixtures.py [--data ring8 grid25] [--seeds 10] [--threads 1]
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

POINTS = 10_000  # real samples of a published mixture
SAMPLES = 50_000  # drawn of each trained generator
LEAST_DUE = 0.1  # share of what is due to a mode, above which it counts as made
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
GOALS = {"high quality": 0.9, "reverse KL": 0.04, "seconds": 600}


def published(data: str) -> Any:
    """The mixture as others use it, under the name of ours with "-published"."""
    from theodolite.data.mixtures import MIXTURES, Mixture

    ours = MIXTURES[data.removesuffix("-published")]()
    scale, spread = {"ring8": (0.5, 0.01), "grid25": (1.0, 0.05)}[ours.name]
    return Mixture(data, scale * ours.centres, ours.weights, spread)


def child(data: str, seed: int, settings: dict[str, Any]) -> None:
    """Train and count; print what was found as JSON."""
    import theodolite
    from theodolite.data.mixtures import MIXTURES
    from theodolite.gan.samples import TrainedGAN
    from theodolite.theory.modes import reverse_kl

    truth = MIXTURES[data]() if data in MIXTURES else published(data)
    with tempfile.TemporaryDirectory() as folder:
        source = data
        if data not in MIXTURES:
            source = str(Path(folder) / "points.npy")
            np.save(source, truth.sample(POINTS, seed)[0])
        cpu, wall = time.process_time(), time.perf_counter()
        run = theodolite.train(
            "gan", Path(folder) / "run", data=source, seed=seed, split_seed=seed, device="cpu", **settings
        )
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        samples = TrainedGAN(run).draw(SAMPLES)
    mode, distance = truth.nearest(samples)
    shares = np.bincount(mode[distance <= 3], minlength=truth.modes) / SAMPLES
    found = {
        "modes": int((shares > LEAST_DUE * truth.weights).sum()),
        "of": truth.modes,
        "least": float((shares / truth.weights).min()),
        "high_quality": float(shares.sum()),
        "reverse_kl": reverse_kl(shares, truth.weights),
        "cpu": cpu,
        "wall": wall,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(found))


def measured(data: str, seed: int, threads: int, settings: list[str]) -> dict[str, Any]:
    """Run one training in a fresh process."""
    command = [sys.executable, __file__, "--child", data, str(seed), "--set", *settings]
    told = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | dict.fromkeys(THREADS, str(threads))
    )
    return dict(json.loads(told.stdout.splitlines()[-1]))


def row(data: str, seed: int, found: dict[str, Any]) -> str:
    """Write one run as a row of the table."""
    return (
        f"| {data} | {seed} | {found['modes']} of {found['of']} | {found['least']:.2f} | {found['high_quality']:.1%} | "
        f"{found['reverse_kl']:.4f} | {found['cpu']:.0f} | {found['wall']:.0f} | {found['memory']:,.0f} |\n"
    )


def summary(data: str, runs: list[dict[str, Any]]) -> str:
    """Say how many runs reach every goal, and the worst of each number."""
    reached = [
        run["modes"] == run["of"]
        and run["high_quality"] >= GOALS["high quality"]
        and run["reverse_kl"] <= GOALS["reverse KL"]
        and run["wall"] <= GOALS["seconds"]
        for run in runs
    ]
    return (
        f"- **{data}: {sum(reached)} of {len(runs)}** runs make every mode, at least {GOALS['high quality']:.0%} "
        f"of high quality, with a reverse KL of at most {GOALS['reverse KL']:g} nats, within {GOALS['seconds']} s. "
        f"Mean and worst: high quality {np.mean([run['high_quality'] for run in runs]):.1%} and "
        f"{min(run['high_quality'] for run in runs):.1%}, reverse KL "
        f"{np.mean([run['reverse_kl'] for run in runs]):.4f} and {max(run['reverse_kl'] for run in runs):.4f}, "
        f"{np.mean([run['cpu'] for run in runs]):.0f} and {max(run['cpu'] for run in runs):.0f} CPU s.\n"
    )


def main() -> None:
    """Train one run after the other and keep the table up to date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="*", default=["ring8", "grid25", "ring8-published", "grid25-published"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings other than the defaults")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        settings = {name: json.loads(value) for name, value in (one.split("=", 1) for one in given.set)}
        child(given.child[0], int(given.child[1]), settings)
        return
    import torch

    head = (
        "# GANs on mixtures\n\n"
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, "
        f"{given.threads} thread{'s' * (given.threads > 1)} a run; other work beside it "
        f"(load {os.getloadavg()[0]:.1f} at the start)\n\n"
        f"`theodolite gan train --data …` with {' '.join(given.set) or 'default settings'}; {SAMPLES:,} samples of "
        "each generator. Least mode: share of what is due to the mode made least. Reverse KL of the modes, in nats.\n\n"
    )
    table = (
        "| data | seed | modes | least mode | high quality | reverse KL | CPU s | wall s | memory MiB |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    runs: dict[str, list[dict[str, Any]]] = {data: [] for data in given.data}
    for data in given.data:
        for seed in range(given.seeds):
            found = measured(data, seed, given.threads, given.set)
            runs[data].append(found)
            table += row(data, seed, found)
            print(table.splitlines()[-1], flush=True)
            said = "".join(summary(name, done) for name, done in runs.items() if done)
            Path(__file__).with_suffix(".md").write_text(f"{head}{said}\n{table}", encoding="utf-8")


if __name__ == "__main__":
    main()
