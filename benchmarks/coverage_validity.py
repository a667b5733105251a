"""What an audit says where nothing is missed, and how often it is wrong where something is.

Run: python benchmarks/coverage_validity.py [cheap|full …]. The guarantees hold whatever the score is, so most runs
rank by a cheap one: noise, the distance to the middle, and the log ratio of distances to the nearest training samples.
"""

import os
import platform
import sys
import time

import numpy as np
from sklearn.neighbors import NearestNeighbors

from theodolite.coverage.audit import audit_coverage
from theodolite.coverage.certificates import certify
from theodolite.coverage.folds import Folds
from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.missed import name_missed

TAU = ALPHA = 0.1
SEEDS = 200
REALS, FAKES = 1000, 20_000


def normal(columns):
    """Reals and fakes alike: nothing is missed."""

    def draw(rng):
        real, fake = rng.normal(size=(REALS, columns)), rng.normal(size=(FAKES, columns))
        return real, fake, np.zeros(REALS, dtype=bool), 0.0

    return draw


def modes(missed, rare):
    """A mode that is not generated, and one generated at a quarter of its share, which is covered."""

    def draw(rng):
        def some(count, missed, rare):
            u = rng.random(count)
            x = rng.normal(size=(count, 5))
            x[:, 0] += 12 * (u < missed) - 12 * ((u >= missed) & (u < missed + rare))
            return x, u < missed

        real, missing = some(REALS, missed, rare)
        return real, some(FAKES, 0.0, rare / 4)[0], missing, missed

    return draw


def shrunk(spread):
    """N(0, 1) made as N(0, spread²) on the line: the ratio of densities is known, and so is Ω."""

    def draw(rng):
        real, fake = rng.normal(size=(REALS, 1)), spread * rng.normal(size=(FAKES, 1))
        return (
            real,
            fake,
            *_beyond(real[:, 0], lambda x: -0.5 * x**2, lambda x: -0.5 * (x / spread) ** 2 - np.log(spread)),
        )

    return draw


def heavy(rng):
    """Cauchy reals made as normal ones."""
    real, fake = rng.standard_cauchy(size=(REALS, 1)), rng.normal(size=(FAKES, 1))
    return (
        real,
        fake,
        *_beyond(
            real[:, 0],
            lambda x: -np.log(np.pi * (1 + x**2)),
            lambda x: -0.5 * x**2 - 0.5 * np.log(2 * np.pi),
            cauchy=True,
        ),
    )


def _beyond(x, log_real, log_fake, cauchy=False):
    """Which points lie in Ω, and its mass, by a sample of a million quantiles."""
    u = (np.arange(1_000_000) + 0.5) / 1_000_000
    grid = np.tan(np.pi * (u - 0.5)) if cauchy else np.sqrt(2) * _erfinv(2 * u - 1)

    def inside(y):
        return log_fake(y) <= np.log(TAU) + log_real(y)

    return inside(x), float(inside(grid).mean())


def _erfinv(x):
    from scipy.special import erfinv

    return erfinv(x)


def noise(rng, *_):
    """A classifier of noise."""
    return lambda x: rng.normal(size=len(x))


def far(rng, *_):
    """How far out a sample lies."""
    return lambda x: np.linalg.norm(x, axis=1)


def neighbours(rng, real, fake):
    """Log ratio of the distances to the fifth nearest training samples."""
    near = [NearestNeighbors(n_neighbors=5).fit(kind) for kind in (fake, real)]
    return lambda x: np.subtract(*(np.log(kind.kneighbors(x)[0][:, -1] + 1e-12) for kind in near))


def cheap(draw, score, seed):
    """Audit with one score in place of the stack: proportions of false names and of found ones, and the bound."""
    rng = np.random.default_rng(seed)
    real, fake, missing, truth = draw(rng)
    folds = Folds.draw(len(real), len(fake), seed)
    fits = []
    for tested, fitted in (folds.reals, folds.reals[::-1]):
        training = fake[folds.training]
        rank = score(rng, real[fitted][::2], training[::2])
        fits.append(
            HeldOut(rank(real[tested]), rank(fake[folds.calibration]), rank(real[fitted][1::2]), rank(training[1::2]))
        )
    named, _ = name_missed(tuple(fits), folds.reals, TAU, ALPHA)
    return _summary(named, missing, certify(tuple(fits), TAU, 0.95).lower, truth)


def full(draw, seed):
    """Audit with the whole stack."""
    real, fake, missing, truth = draw(np.random.default_rng(seed))
    result = audit_coverage(real, fake, seed=seed)
    return _summary(np.asarray(result.missed), missing, result.missed_mass.lower, truth)


def _summary(named, missing, lower, truth):
    false = (named & ~missing).sum() / max(named.sum(), 1)
    power = (named & missing).sum() / missing.sum() if missing.any() else np.nan
    return named.any(), false, power, lower > truth


def row(case, score, runs):
    """One row of the table."""
    any_named, false, power, above = np.array(runs, dtype=float).T
    error = false.std() / np.sqrt(len(runs))
    found = np.nanmean(power) if np.isfinite(power).any() else float("nan")
    print(
        f"| {case} | {score} | {len(runs)} | {any_named.mean():.3f} | {false.mean():.4f} ± {2 * error:.4f} "
        f"| {found:.2f} | {above.mean():.3f} |",
        flush=True,
    )


def main():
    """Print a table in Markdown."""
    wanted = sys.argv[1:] or ["cheap", "full"]
    cases = {f"identical, {d}-d": normal(d) for d in (2, 64, 300)}
    others = {
        "8% dropped": modes(0.08, 0.0),
        "8% dropped, 12% made at a quarter": modes(0.08, 0.12),
        "spread × 0.5": shrunk(0.5),
        "Cauchy made as normal": heavy,
    }
    print(
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}; {REALS:,} reals, {FAKES:,} fakes\n"
    )
    print("| case | score | runs | any named | false discoveries ± 2 s.e. | power | certificate above truth |")
    print("|---|---|---|---|---|---|---|", flush=True)
    if "cheap" in wanted:
        for name, draw in (cases | others).items():
            for score in (noise, far) if "identical" in name else (noise, far, neighbours):
                row(name, score.__name__, [cheap(draw, score, seed) for seed in range(SEEDS)])
    if "full" in wanted:
        for name, draw in (cases | others).items():
            row(name, "stack", [full(draw, seed) for seed in range(10)])


if __name__ == "__main__":
    main()
