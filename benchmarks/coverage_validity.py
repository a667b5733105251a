"""What an audit says where nothing is missed, and how often it is wrong where something is.

Run: python benchmarks/coverage_validity.py; the result is written beside this file. The guarantees hold whatever the
score is, so most runs rank by a cheap one: noise, the distance to the middle, and the log ratio of distances to the
nearest training samples.
"""

import os
import platform
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: products here are too small to be shared out
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy.special import ndtri
from sklearn.neighbors import NearestNeighbors

from theodolite.coverage.audit import audit_coverage
from theodolite.coverage.certificates import certify
from theodolite.coverage.folds import Folds
from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.missed import name_missed

TAU = ALPHA = 0.1
CONFIDENCE = 0.95
SEEDS, FULL = 200, 10
REALS, FAKES = 1000, 10_000
QUANTILES = (np.arange(1_000_000) + 0.5) / 1_000_000


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

    def missed(x):
        return -0.5 * (x / spread) ** 2 - np.log(spread) <= np.log(TAU) - 0.5 * x**2

    mass = float(missed(ndtri(QUANTILES)).mean())

    def draw(rng):
        real, fake = rng.normal(size=(REALS, 1)), spread * rng.normal(size=(FAKES, 1))
        return real, fake, missed(real[:, 0]), mass

    return draw


def heavy():
    """Cauchy reals made as normal ones."""

    def missed(x):
        return -0.5 * x**2 - 0.5 * np.log(2 * np.pi) <= np.log(TAU) - np.log(np.pi * (1 + x**2))

    mass = float(missed(np.tan(np.pi * (QUANTILES - 0.5))).mean())

    def draw(rng):
        real, fake = rng.standard_cauchy(size=(REALS, 1)), rng.normal(size=(FAKES, 1))
        return real, fake, missed(real[:, 0]), mass

    return draw


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
    return _summary(named, missing, certify(tuple(fits), TAU, CONFIDENCE).lower, truth)


def full(draw, seed):
    """Audit with the whole stack."""
    real, fake, missing, truth = draw(np.random.default_rng(seed))
    result = audit_coverage(real, fake, seed=seed)
    return _summary(np.asarray(result.missed), missing, result.missed_mass.lower, truth)


def _summary(named, missing, lower, truth):
    false = (named & ~missing).sum() / max(named.sum(), 1)
    power = (named & missing).sum() / missing.sum() if missing.any() else np.nan
    return named.any(), false, power, lower, lower > truth, truth


def row(case, score, runs):
    """One row of the table, and whether what is guaranteed holds in it."""
    any_named, false, power, lower, above, truth = np.array(runs, dtype=float).T
    error = false.std() / np.sqrt(len(runs))
    found = f"{np.nanmean(power):.2f}" if np.isfinite(power).any() else ""
    held = (truth.any() or any_named.mean() <= ALPHA) and false.mean() <= ALPHA + 2 * error
    print(case, score, f"{time.process_time():.0f} s", flush=True)
    return (
        f"| {case} | {score} | {len(runs)} | {any_named.mean():.3f} | {false.mean():.4f} ± {2 * error:.4f} "
        f"| {found} | {truth.mean():.4f} | {lower.mean():.4f} | {above.mean():.3f} |"
    ), bool(held and above.mean() <= 1 - CONFIDENCE)


def main():
    """Measure and write the table."""
    alike = {f"alike, {d} columns": normal(d) for d in (2, 64, 300)}
    apart = {
        "8% dropped": modes(0.08, 0.0),
        "8% dropped, 12% made at a quarter": modes(0.08, 0.12),
        "spread × 0.5": shrunk(0.5),
        "Cauchy made as normal": heavy(),
    }
    rows = [
        row(name, score.__name__, [cheap(draw, score, seed) for seed in range(SEEDS)])
        for name, draw in (alike | apart).items()
        for score in ((noise, far) if name in alike else (noise, far, neighbours))
    ]
    rows += [row(name, "D̂", [full(draw, seed) for seed in range(FULL)]) for name, draw in (alike | apart).items()]
    told = f"""# How often an audit is wrong

{time.strftime("%Y-%m-%d")}, {os.cpu_count()} cores, {platform.machine()}; {REALS:,} reals, {FAKES:,} fakes, τ = {TAU},
α = {ALPHA}, confidence {CONFIDENCE:.0%}; {time.process_time():.0f} CPU seconds

What is guaranteed: where all is covered any sample is named in at most a share α of audits; of the named at most α is
covered, on average; the certificate exceeds the truth in at most {1 - CONFIDENCE:.0%} of audits. It holds in
{sum(held for _, held in rows)} of {len(rows)} rows.

| case | score | audits | any named | false discoveries ± 2 s.e. | power | truth | certified, mean | above truth |
|---|---|---|---|---|---|---|---|---|
"""
    told += "\n".join(line for line, _ in rows) + "\n"
    print(told)
    Path(__file__).with_suffix(".md").write_text(told, encoding="utf-8")


if __name__ == "__main__":
    main()
