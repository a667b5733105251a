"""What the layers of a chart have in common: the kind of either axis, its range, and one colour a series."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from theodolite.kernel.exhibits import Cell, Chart, Layer
from theodolite.report.palette import ACCENT, SERIES, THEORY

LARGEST = 1e300  # what is not below this is no number to draw
_MISSING = {"NaN", "Infinity", "-Infinity"}  # how JSON keeps numbers that are none


@dataclass(frozen=True)
class Axis:
    """One axis: names in the order of their appearance, or (where `names` is empty) numbers from `low` to `high`."""

    names: tuple[str, ...]
    low: float
    high: float
    scale: str

    def fraction(self, value: float) -> float:
        """Where a number stands between `low` (0) and `high` (1)."""
        bottom, top, here = (_straight(number, self.scale) for number in (self.low, self.high, value))
        return (here - bottom) / (top - bottom) if top > bottom else 0.5

    def at(self, fraction: float) -> float:
        """Return the number that stands at a fraction of the way from `low` to `high`."""
        bottom, top = _straight(self.low, self.scale), _straight(self.high, self.scale)
        return _bent(bottom + fraction * (top - bottom), self.scale)


@dataclass(frozen=True)
class Axes:
    """Both axes, the colour of every series in order of appearance, and the series that stand side by side."""

    x: Axis
    y: Axis
    colours: dict[str, str]
    abreast: tuple[str, ...]

    @classmethod
    def of(cls, chart: Chart) -> "Axes":
        """Derive the axes of a chart from its layers."""
        xs = _cells(chart.layers, ("x",))
        ys = _cells(chart.layers, ("y", "y2"))
        if any(layer.mark in ("bar", "area") and layer.y2 is None for layer in chart.layers) and chart.y_scale != "log":
            ys = ys if any(isinstance(cell, str) for cell in ys) else [*ys, 0.0]
        x, y = _axis(xs, chart.x_domain, chart.x_scale), _axis(ys, chart.y_domain, chart.y_scale)
        return cls(x, y, _series_colours(chart), _abreast(chart, x, y))


def as_number(cell: Cell) -> float | None:
    """Return a finite number, or None for whatever is none."""
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    return float(cell) if abs(cell) < LARGEST else None


def as_name(cell: Cell) -> str:
    """Return a cell as the name of a category or a series."""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return "–" if cell is None else str(cell)


def plain_colour(layer: Layer) -> str:
    """Return the colour of a layer without series: ink for theory and rules, else the accent."""
    return THEORY if layer.dashed or layer.mark in ("rule", "text") else ACCENT


def _cells(layers: Iterable[Layer], channels: Sequence[str]) -> list[Cell]:
    named = [(layer, getattr(layer, channel)) for layer in layers for channel in channels]
    return [cell for layer, column in named if column is not None for cell in layer.columns[column]]


def _axis(cells: Sequence[Cell], domain: tuple[float, float] | None, scale: str) -> Axis:
    names = [as_name(cell) for cell in cells if isinstance(cell, bool | str) and cell not in _MISSING]
    if names:
        return Axis(tuple(dict.fromkeys(as_name(cell) for cell in cells if cell is not None)), 0.0, 1.0, "linear")
    numbers = [value for cell in cells if (value := as_number(cell)) is not None and (scale != "log" or value > 0)]
    low, high = domain or (min(numbers, default=0.0), max(numbers, default=1.0))
    return Axis((), low, high, scale)


def _abreast(chart: Chart, x: Axis, y: Axis) -> tuple[str, ...]:
    """Return the series of bars that share a name of the axis and so its room; none where each has its own."""
    series: dict[str, None] = {}
    shared = False
    for layer in chart.layers:
        names = layer.x if x.names else layer.y if y.names else None
        if layer.mark == "bar" and layer.color is not None and names is not None and layer.y2 is None:
            drawn, owners = layer.columns[names], layer.columns[layer.color]
            pairs = {(as_name(name), as_name(owner)) for name, owner in zip(drawn, owners, strict=True)}
            shared = shared or len(pairs) > len({name for name, _ in pairs})
            series |= dict.fromkeys(map(as_name, owners))
    return tuple(series) if shared else ()


def _straight(value: float, scale: str) -> float:
    if scale == "log":
        return math.log10(value) if value > 0 else -math.inf
    return math.copysign(math.log1p(abs(value)), value) if scale == "symlog" else value


def _bent(straight: float, scale: str) -> float:
    if scale == "log":
        return math.pow(10.0, straight)
    return math.copysign(math.expm1(abs(straight)), straight) if scale == "symlog" else straight


def _series_colours(chart: Chart) -> dict[str, str]:
    names = dict.fromkeys(
        as_name(cell) for layer in chart.layers if layer.color is not None for cell in layer.columns[layer.color]
    )
    taken = set(chart.roles.values())
    # the two of real and generated come last: elsewhere they would be read as such
    free = [colour for colour in SERIES if colour not in taken] or list(SERIES)
    unnamed = [name for name in names if name not in chart.roles]
    given = {name: free[place % len(free)] for place, name in enumerate(unnamed)}
    return {name: chart.roles.get(name) or given[name] for name in names}
