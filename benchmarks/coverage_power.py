"""What an audit of coverage finds where something is missing: power, false discoveries, certificates.

Run: python benchmarks/coverage_power.py [dropped|rare|spread|digits|mnist …] [--split SEED]; MNIST is read from the
folder MNIST (`t10k-images-idx3-ubyte.gz` and `t10k-labels-idx1-ubyte.gz`).
"""

import argparse
import gzip
import os
import platform
import time
from pathlib import Path

import numpy as np

from theodolite.coverage.audit import audit_coverage
from theodolite.data.digits import digits

DIMENSIONS, MODES, APART = 64, 10, 6.0


def mixture(count, share, rng):
    """Ten modes of spread 1 around a sphere of radius 6 in 64 dimensions, the last with a share of its own."""
    centres = np.random.default_rng(99).normal(size=(MODES, DIMENSIONS))
    centres *= APART / np.linalg.norm(centres, axis=1, keepdims=True)
    mode = rng.choice(MODES, count, p=np.append(np.full(MODES - 1, (1 - share) / (MODES - 1)), share))
    return centres[mode] + rng.normal(size=(count, DIMENSIONS)), mode == MODES - 1


def line(case, result, missing, seconds):
    """One row of the table; returns power and false discovery proportion."""
    power = result.missed[missing].mean() if missing.any() else float("nan")
    false = (result.missed & ~missing).sum() / max(result.missed.sum(), 1)
    print(
        f"| {case} | {power:.2f} | {false:.3f} | {missing.mean():.4f} | {result.missed_mass.lower:.4f} "
        f"| {result.total_variation.lower:.3f} | {seconds:.0f} |",
        flush=True,
    )
    return power, false


def audited(case, real, fake, missing, tau=0.1, seed=0):
    """Audit and print one row."""
    start = time.process_time()
    result = audit_coverage(real, fake, tau=tau, seed=seed)
    return line(case, result, missing, time.process_time() - start)


def dropped(share, fakes):
    """A mode of the given share that is not generated, 10,000 reals."""
    rng = np.random.default_rng(0)
    real, missing = mixture(10_000, share, rng)
    fake, _ = mixture(fakes, 0.0, rng)
    audited(f"64-d, {share:.1%} dropped, m = {fakes:,}", real, fake, missing)


def spread():
    """Spread × 0.8: the total variation is .796, and what is missed has no edge."""
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(10_000, DIMENSIONS)), 0.8 * rng.normal(size=(10_000, DIMENSIONS))
    # log p_θ − log p_r from both Gaussian densities
    ratio = -DIMENSIONS * np.log(0.8) - 0.5 * (real**2).sum(axis=1) * (1 / 0.8**2 - 1)
    audited("64-d, spread × 0.8", real, fake, ratio <= np.log(0.1))


def withheld(name, images, labels, reals, tau, split):
    """Each class in turn is withheld from the fakes, which are other real images; `split` says who is which."""
    name = f"{name}, split {split}"
    rows = []
    for label in range(10):
        order = np.random.default_rng(split).permutation(len(images))
        real, fake = order[:reals], order[reals:]
        fake = fake[labels[fake] != label]
        rows.append(audited(f"{name} without {label}", images[real], images[fake], labels[real] == label, tau))
    power, false = np.mean(rows, axis=0)
    print(f"| {name}, mean of ten | {power:.2f} | {false:.3f} | | | | |")


def mnist(folder):
    """Images in [0, 1] and labels."""
    with gzip.open(Path(folder) / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28) / np.float32(255)
    with gzip.open(Path(folder) / "t10k-labels-idx1-ubyte.gz") as file:
        return images, np.frombuffer(file.read(), np.uint8, offset=8)


def main():
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=["dropped", "rare", "spread", "digits", "mnist"])
    parser.add_argument("--split", type=int, default=0, help="seed of who is real and who poses as generated")
    given = parser.parse_args()
    wanted = given.cases
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}\n")
    print("| case | power | false | truth | certified | TV certified | CPU s |\n|---|---|---|---|---|---|---|")
    if "dropped" in wanted:
        dropped(0.02, 100_000)
    if "rare" in wanted:
        dropped(0.005, 400_000)
    if "spread" in wanted:
        spread()
    if "digits" in wanted:
        images, labels = digits()
        withheld("digits, τ = .5", images, labels, len(images) // 2, 0.5, given.split)
    if "mnist" in wanted and "MNIST" in os.environ:
        withheld("MNIST, τ = .1", *mnist(os.environ["MNIST"]), 5000, 0.1, given.split)


if __name__ == "__main__":
    main()
