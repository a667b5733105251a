"""The peers' numbers beside ours, and what each of them cannot see."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theodolite.coverage.metrics import PeerMetrics, peers
from theodolite.coverage.result import CoverageResult
from theodolite.coverage.words import percent, rounded
from theodolite.kernel.exhibits import Cell, Table
from theodolite.theory.gaussian import NORMAL_95

MOST, WIDE_MOST = 5000, 1000  # samples of either kind that the peers' numbers are computed from, the wider the fewer
NUMBERS = MOST * 1024  # that they hold together, but for the second limit
TAG = 0xBE51


def peers_of(real: NDArray[Any], fake: NDArray[Any], seed: int) -> tuple[PeerMetrics, int, int]:
    """Measure what the peers measure on at most `MOST` of either kind, and say how many were looked at."""
    some = []
    most = int(np.clip(NUMBERS // math.prod(real.shape[1:]), WIDE_MOST, MOST))
    for place, samples in enumerate((real, fake)):
        chosen = np.sort(np.random.default_rng([seed, TAG, place]).permutation(len(samples))[:most])
        some.append(np.asarray(samples[chosen]).reshape(chosen.size, -1))
    return peers(some[0], some[1], seed=seed), len(some[0]), len(some[1])


def beside(result: CoverageResult, found: PeerMetrics, reals: int, fakes: int) -> Table:
    """Set the peers' numbers beside ours."""
    k = found.neighbours
    rows: list[tuple[Cell, ...]] = [
        (
            "coverage, certified (this audit)",
            f"≤ {result.coverage.upper:.3f}",
            "what the classifiers do not tell apart",
        ),
        (f"coverage, {k} neighbours (Naeem et al.)", f"{found.coverage:.3f}", "how much is missing around a sample"),
        (
            f"recall, {k} neighbours (Kynkäänniemi et al.)",
            f"{found.recall:.3f}",
            "a gap that the reach of outliers bridges",
        ),
        (
            "fidelity, certified (this audit)",
            f"≤ {result.fidelity.upper:.3f}",
            "what the classifiers do not tell apart",
        ),
        (f"precision, {k} neighbours", f"{found.precision:.3f}", "what is invented near real outliers"),
        (f"density, {k} neighbours", f"{found.density:.3f}", "what is missing; and it can exceed 1"),
        ("Fréchet distance", _distance(found.frechet), "whatever leaves mean and covariance alone"),
        ("Fréchet distance, at infinitely many samples", _distance(found.frechet_unbiased), "the same"),
        (
            "kernel distance",
            f"{_distance(found.kernel)} ± {_distance(NORMAL_95 * found.kernel_error)}",
            "what moments up to the third do not show",
        ),
        ("different samples, generated (birthdays)", _size(found.support.size), "which samples are missing"),
        ("different samples, real", _size(found.real_support.size), ""),
    ]
    return Table(
        title=_title(result, found),
        caption=f"Computed from {reals:,} real and {fakes:,} generated samples. The peers' numbers are estimates "
        "without a guarantee, and none names a sample. Different samples: ∞ where no pair repeats.",
        columns=("number", "value", "does not see"),
        rows=tuple(rows),
    )


def _title(result: CoverageResult, found: PeerMetrics) -> str:
    if result.missed_mass.lower > 0:
        return (
            f"Coverage by neighbours reads {found.coverage:.2f}; certified is that at least "
            f"{percent(result.missed_mass.lower)} is missed"
        )
    return f"Coverage by neighbours reads {found.coverage:.2f}, and here nothing is certified to be missed"


def _distance(value: float) -> str:
    if not math.isfinite(value):
        return "too large"
    if abs(value) >= 1e9:
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _size(value: float) -> str:
    return f"{rounded(round(value)):,}" if math.isfinite(value) else "∞"
