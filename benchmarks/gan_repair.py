"""Generators that miss a known part, before and after `theodolite gan repair`, one row a seed.

withheld: a GAN on digits that was never shown one class. What it misses is certified on held-out digits before, and
what it makes of that after, on fresh samples of the mixture; the class itself is counted by a classifier trained on
real digits, which the repair knows nothing of. collapsed: the minimax game to the letter on grid25, with D the slower
player, so that G stays at a mode or two. blurred: the same game with D as fast, so that G makes most modes, unevenly,
and as much between them. Both sides of each row are one run.

Run: OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/gan_repair.py [BAR] [SEEDS] [KEPT]
BAR is withheld, collapsed or blurred; KEPT is a folder for the runs and rows: what is there already is not done again.
"""

import os
import platform
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.svm import SVC

from theodolite import families
from theodolite.data.digits import digits
from theodolite.gan.config import GANConfig
from theodolite.gan.dataset import high_quality_shares, load
from theodolite.gan.repair import repair
from theodolite.gan.repaired import Repair
from theodolite.gan.samples import TrainedGAN
from theodolite.kernel.runs import RunFolder
from theodolite.theory.modes import reverse_kl

CLASS = 7
DIGITS = {"pace": 3.0,
    "data": "digits", "withhold": CLASS, "latent_dim": 32, "batch_size": 128, "learning_rate": 0.002, "steps": 2500,
}  # fmt: skip
COLLAPSED = {"data": "grid25", "objective": "minimax", "learning_rate": 0.004, "pace": 0.3, "steps": 800}
BLURRED = COLLAPSED | {"pace": 1.0, "steps": 1000}
DRAWN = 20_000
MADE = 0.01  # share of all samples, of high quality, from which on one of 25 modes counts


def mended(fields: dict[str, object], seed: int, out: Path) -> tuple[RunFolder, Repair, float, float]:
    """Train and repair; the CPU seconds of both."""
    began = time.process_time()
    finished = (out / "model.safetensors").is_file()
    run = RunFolder.open(out) if finished else families.train("gan", out, seed=seed, force=out.exists(), **fields)
    trained = time.process_time()
    found = repair(run)
    return run, found, trained - began, time.process_time() - trained


def withheld(seed: int, out: Path) -> str:
    """One row: certified bounds, the class counted, fidelity."""
    run, found, training, repairing = mended(DIGITS, seed, out)
    images, labels = digits()
    judge = SVC(C=10.0, gamma=0.5 / 64 / images.var()).fit(images.reshape(-1, 64), labels)
    share = [
        np.mean(judge.predict(TrainedGAN(run, repaired=after).draw(4000, "counted").reshape(-1, 64)) == CLASS)
        for after in (False, True)
    ]
    one = found.rounds[0]
    return (
        f"| {seed} | {one.reals_inside} of {one.reals} | {one.made_at_most:.1%} | {one.made_at_least:.1%} | "
        f"{share[0]:.1%} | {share[1]:.1%} | {np.mean(labels == CLASS):.1%} | {one.fidelity_before:.2f} | "
        f"{one.fidelity_after:.2f} | {'yes' if found.accepted else 'no'} | {training:.0f} | {repairing:.0f} |"
    )


def minimax(fields: dict[str, object], seed: int, out: Path) -> str:
    """One row: modes, high quality and reverse KL before and after, certified bounds, the share of the new one."""
    run, found, training, repairing = mended(fields, seed, out)
    counted = load(run.settings(GANConfig)).counted
    if counted is None:
        raise ValueError("the modes of grid25 are known")
    cells = []
    for after in (False, True):
        shares = high_quality_shares(counted, TrainedGAN(run, repaired=after).draw(DRAWN, "counted"))
        made, good = int((shares >= MADE).sum()), shares.sum()
        cells.append(f"{made} | {good:.1%} | {reverse_kl(shares, counted.weights):.3f}")
    one = found.rounds[0]
    return (
        f"| {seed} | {' | '.join(cells)} | {one.made_at_most:.1%} | {one.made_at_least:.1%} | {one.share:.2f} | "
        f"{'yes' if found.accepted else 'no'} | {training:.0f} | {repairing:.0f} |"
    )


MINIMAX_HEAD = (
    "| seed | modes before | high quality | KL | modes after | high quality | KL | made at most, before | "
    "at least, after | share of the new | accepted | training, CPU s | repair |"
)
BARS = {
    "withheld": (
        withheld,
        f"| seed | held-out in A | made at most, before | at least, after | {CLASS}s before | after | due | "
        "fidelity before | after | accepted | training, CPU s | repair |",
    ),
    "collapsed": (partial(minimax, COLLAPSED), MINIMAX_HEAD),
    "blurred": (partial(minimax, BLURRED), MINIMAX_HEAD),
}


def main() -> None:
    """Print a table in Markdown for each bar asked for."""
    asked = [sys.argv[1]] if len(sys.argv) > 1 else list(BARS)
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    kept = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}\n")
    for name in asked:
        row, head = BARS[name]
        print(f"{name}\n\n{head}\n{'|---' * (head.count('|') - 1)}|")
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                place = kept / f"{name}-{seed}" if kept else Path(folder) / "run"
                written = place.with_suffix(".row")
                told = written.read_text() if written.is_file() else row(seed, place)
                if kept:
                    written.write_text(told)
            print(told, flush=True)
        print()


if __name__ == "__main__":
    main()
