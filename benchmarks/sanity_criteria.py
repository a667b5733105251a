"""Criteria of the sanity checks: what a measure must do along the grid of a check."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sanity_laws import Floats, Pair

Outcome = bool | str  # "low" and "high": two readings of diversity, either of which passes if it is kept to
CLOSE, SLACK, STEP = 0.05, 0.1, 0.2


@dataclass(frozen=True)
class Series:
    """Values of one measure along the grid of one check; NaN where the grid was thinned."""

    x: Floats
    y: Floats
    fidelity: bool

    def near(self, point: float, target: float) -> bool:
        """Whether the value at a point is close to a target."""
        return bool(abs(self.y[self._at(point)] - target) <= CLOSE)

    def wide(self, point: float) -> Outcome:
        """Diversity where the fakes are spread far wider than the reals."""
        return "high" if self.near(point, 1) else "low" if self.near(point, 0) else False

    def bell(self, middle: float) -> bool:
        """Whether it is high at a point and low at both ends."""
        peak, ends = self.y[self._at(middle)], self.y[[0, -1]]
        return bool(
            (peak - ends >= STEP).all()
            and np.nanmax(self.y) - peak <= SLACK
            and ends.min() - np.nanmin(self.y) <= SLACK
        )

    def falling(self) -> bool:
        """Whether it is high at the left end and low at the right."""
        return self._between(self.y[-1], self.y[0])

    def rising(self) -> bool:
        """Whether it is low at the left end and high at the right."""
        return self._between(self.y[0], self.y[-1])

    def dropped_by(self, quantile: float) -> bool:
        """Whether it falls, and has fallen somewhat at this quantile of the grid already."""
        at = np.quantile(self.x, quantile, method="nearest")
        return bool(self.falling() and self.y[0] - self.y[self._at(at)] >= SLACK)

    def flat(self, from_quantile: float = 0.0) -> bool:
        """Whether it is a horizontal line from some quantile of the grid on."""
        there = self.y[self.x >= np.quantile(self.x, from_quantile)]
        return bool(np.nanmax(there) - np.nanmin(there) <= CLOSE)

    def _between(self, low: float, high: float) -> bool:
        return bool(high - low >= STEP and low - np.nanmin(self.y) <= SLACK and np.nanmax(self.y) - high <= SLACK)

    def _at(self, point: float) -> int:
        return int(np.argmin(np.abs(self.x - point)))


Criterion = Callable[[Series], Outcome]


@dataclass(frozen=True)
class Check:
    """One check: its cases (dimensions, mostly), the grid of each, the pair at a point, and its rows of criteria."""

    name: str
    cases: tuple[Any, ...]
    grid: Callable[[Any], Any]
    pair: Callable[[Any, Any], Pair]
    rows: dict[str, tuple[Criterion, ...]]
    read_at: tuple[float, ...] = ()  # quantiles of the grid that a criterion reads and thinning must keep

    def points(self, case: Any, most: int) -> list[int]:
        """Which points of the grid are measured: both ends, the middle, what is read, and others evenly."""
        last = len(self.grid(case)) - 1
        kept = {round(q * last) for q in (0.0, 0.5, 1.0, *self.read_at)}
        return sorted(kept | {round(q) for q in np.linspace(0, last, min(most, last + 1))})


def by_kind(fidelity: Criterion | None, diversity: Criterion | None) -> Criterion:
    """Ask each kind of measure its own question, or none."""

    def ask(s: Series) -> Outcome:
        chosen = fidelity if s.fidelity else diversity
        return True if chosen is None else chosen(s)

    return ask


def low_or_high(low: Criterion, high: Criterion) -> Criterion:
    """Either reading of diversity."""
    return lambda s: "low" if low(s) else "high" if high(s) else False


def ends(s: Series) -> Outcome:
    """Both ends are near 0."""
    return s.near(s.x[0], 0) and s.near(s.x[-1], 0)


def bell_rows(middle: float) -> dict[str, tuple[Criterion, ...]]:
    """Rows of a check where one distribution is moved past the other."""
    return {"bounds": (lambda s: s.near(middle, 1), ends), "purpose": (lambda s: s.bell(middle),)}


def first(target: float) -> Criterion:
    """Whether the left end is near a target."""
    return lambda s: s.near(s.x[0], target)


def last(target: float) -> Criterion:
    """Whether the right end is near a target."""
    return lambda s: s.near(s.x[-1], target)
