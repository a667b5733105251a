"""Gap to the greatest ELBO of every procedure on the digits, k = 10: iterations to a level, or level after passes.

Median over random starts. em, px-em, lbfgs and adam see the data once, for their covariance; an iteration is one
evaluation of what they climb, for which a pass would be needed if there were no covariance. The reparametrised
procedure draws z and sees minibatches; its step size falls to zero over the passes it is given.

Run: OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/linear_vae_race.py
"""

import os
import platform
import time

import numpy as np
import torch
from numpy.typing import NDArray

from theodolite.data.digits import digits
from theodolite.linear_vae.ascent import ascend
from theodolite.linear_vae.climb import Method, climb
from theodolite.linear_vae.dataset import Summary

K, STARTS, LEVELS = 10, 9, (1e-2, 1e-4, 1e-6, 1e-8)
METHODS: tuple[Method, ...] = ("em", "px-em", "lbfgs", "adam")
PASSES, BATCHES, TRAININGS = (5, 10, 20, 50, 150), (64, 147), 3


def iterations_to(gaps: NDArray[np.float64], level: float) -> float:
    """Iterations until the gap is at most this, infinitely many where it never is."""
    return float(np.argmax(gaps <= level)) if (gaps <= level).any() else np.inf


def race_of_climbs(covariance: NDArray[np.float64]) -> None:
    """Print the iterations of each procedure to each level."""
    print("| procedure | " + " | ".join(f"to {level:g}" for level in LEVELS) + " | CPU s to the last |")
    print("|---|" + "---|" * (len(LEVELS) + 1))
    for method in METHODS:
        counts, seconds = [], []
        for seed in range(STARTS):
            before = time.process_time()
            climbed = climb(
                method, covariance, K, noise_variance=None, prior_variance=1.0, max_iter=5000, tol=LEVELS[-1], seed=seed
            )
            seconds.append(time.process_time() - before)
            counts.append([iterations_to(climbed.gaps, level) for level in LEVELS])
        cells = " | ".join(
            f"{np.median(column):.0f} ({min(column):.0f}–{max(column):.0f})" for column in zip(*counts, strict=True)
        )
        print(f"| {method} | {cells} | {np.median(seconds):.3f} |")


def race_of_batches(x: NDArray[np.float64], covariance: NDArray[np.float64]) -> None:
    """Print the gap of the reparametrised procedure after the passes it was given."""
    summary = Summary(len(x), np.zeros(x.shape[1]), covariance)
    print("| samples a step | " + " | ".join(f"{passes} passes" for passes in PASSES) + " | CPU s of 20 passes |")
    print("|---|" + "---|" * (len(PASSES) + 1))
    for batch in BATCHES:
        cells, cost = [], 0.0
        for passes in PASSES:
            before = time.process_time()
            gaps = [
                ascend(
                    lambda ids: x[ids],
                    summary,
                    K,
                    noise_variance=None,
                    prior_scale=1.0,
                    passes=passes,
                    batch_size=batch,
                    seed=seed,
                ).gaps[-1]
                for seed in range(TRAININGS)
            ]
            cost = (time.process_time() - before) / TRAININGS if passes == 20 else cost
            cells.append(f"{np.median(gaps):.2g} ({min(gaps):.2g}–{max(gaps):.2g})")
        print(f"| {batch} | " + " | ".join(cells) + f" | {cost:.1f} |", flush=True)


def main() -> None:
    """Print two tables in Markdown."""
    torch.set_num_threads(1)
    x = digits()[0].reshape(-1, 64)
    x = x - x.mean(axis=0)
    covariance = x.T @ x / len(x)
    versions = f"numpy {np.__version__}, torch {torch.__version__}"
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, {versions}\n")
    race_of_climbs(covariance)
    print()
    race_of_batches(x, covariance)


if __name__ == "__main__":
    main()
