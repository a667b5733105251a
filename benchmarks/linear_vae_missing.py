"""Entries of the digits missing at random: how far off are they filled in, and at what cost, beside scikit-learn.

Ours is the linear VAE with as many latent dimensions as `choose_components` says; theirs is `IterativeImputer`, a ridge
regression of each pixel on all others, in rounds. Both see the same gaps; CPU seconds in one thread.

Run: OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/linear_vae_missing.py
"""

import os
import platform
import time
import warnings
from collections.abc import Callable

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer

from theodolite.data.digits import digits
from theodolite.linear_vae.missing import fit_missing, impute
from theodolite.linear_vae.selection import choose_components

SHARES, SEEDS = (0.1, 0.3, 0.6), 3
Matrix = NDArray[np.float64]


def timed(call: Callable[[], Matrix]) -> tuple[Matrix, float]:
    """Result and CPU seconds of a call."""
    before = time.process_time()
    result = call()
    return result, time.process_time() - before


def by_linear_vae(gaps: Matrix, latent_dim: int) -> Matrix:
    """Fill in with the linear VAE of this many latent dimensions."""
    fit = fit_missing(gaps, latent_dim, noise_variance=None, prior_variance=1.0, max_iter=200, tol=1e-2)
    return impute(gaps, fit.mean, fit.weights)


def by_scikit_learn(gaps: Matrix) -> Matrix:
    """Fill in with IterativeImputer as it comes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(IterativeImputer(random_state=0).fit_transform(gaps))


def main() -> None:
    """Print a table in Markdown, the two sides one after the other for each pattern of gaps."""
    x = digits()[0].reshape(-1, 64)
    versions = f"numpy {np.__version__}, scikit-learn {sklearn.__version__}"
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, {versions}\n")
    print("| missing | seed | k chosen | RMSE, ours | RMSE, IterativeImputer | choosing, CPU s | fitting | theirs |")
    print("|---|---|---|---|---|---|---|---|")
    for share in SHARES:
        for seed in range(SEEDS):
            hole = np.random.default_rng(seed).random(x.shape) < share
            gaps = np.where(hole, np.nan, x)
            before = time.process_time()
            k = choose_components(gaps).n_components
            choosing = time.process_time() - before
            ours, fitting = timed(lambda gaps=gaps, k=k: by_linear_vae(gaps, k))
            theirs, rounds = timed(lambda gaps=gaps: by_scikit_learn(gaps))
            errors = [np.sqrt(np.mean((filled - x)[hole] ** 2)) for filled in (ours, theirs)]
            print(
                f"| {share:.0%} | {seed} | {k} | {errors[0]:.4f} | {errors[1]:.4f} "
                f"| {choosing:.1f} | {fitting:.1f} | {rounds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
