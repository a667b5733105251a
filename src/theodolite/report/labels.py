"""Series named where they end, instead of in a legend; labels that would touch are moved apart."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import altair as alt

from theodolite.kernel.exhibits import Chart, Layer
from theodolite.report.axes import Axes, plain_colour
from theodolite.report.marks import horizontal, rows, vertical
from theodolite.report.palette import token

MOST_LABELS = 8
LONGEST = 26
LETTER = 6.6  # width of a letter at 12 px, roughly
LINE = 15.0
ABOVE = 14.0


@dataclass(frozen=True)
class Label:
    """A name and where it stands: at the end of a line (x None: the right edge), or above a vertical rule (y None)."""

    name: str
    colour: str
    x: float | str | None
    y: float | None
    row: int = 0


def labels(chart: Chart, axes: Axes, height: float) -> list[Label]:
    """Return the direct labels of a chart; none where there are too many series to have room for."""
    found: dict[tuple[str, bool], Label] = {}
    for layer in chart.layers:
        for label in _of_layer(layer, axes):
            found[label.name, label.y is None] = label
    beside = [label for label in found.values() if label.y is not None]
    above = [label for label in found.values() if label.y is None]
    if len(beside) > MOST_LABELS or len(above) > MOST_LABELS:
        return []
    return _apart(beside, axes, height) + _stacked(above, axes)


def label_layers(chart: Chart, axes: Axes, placed: list[Label], title_lift: float) -> list[alt.Chart]:
    """Return the layers that write the labels."""
    beside = [label for label in placed if label.y is not None]
    layers: list[alt.Chart] = []
    for at_edge in (False, True):
        data = [_row(label) for label in beside if (label.x is None) == at_edge]
        if data:
            x: Any = alt.value("width") if at_edge else horizontal(chart, axes.x)
            text = alt.Chart(alt.InlineData(values=data)).mark_text(align="left", dx=7, fontSize=12, fontWeight=500)
            text = text.properties(name=f"beside{len(layers)}")  # left out on a phone
            layers.append(text.encode(x=x, y=vertical(chart, axes.y, title_lift), text="t:N", color=_own_colour()))
    above = [label for label in placed if label.y is None]
    for row in sorted({label.row for label in above}):
        data = [_row(label) for label in above if label.row == row]
        text = alt.Chart(alt.InlineData(values=data)).mark_text(dy=-7 - ABOVE * row, fontSize=12, fontWeight=500)
        layers.append(text.encode(x=horizontal(chart, axes.x), y=alt.value(0), text="t:N", color=_own_colour()))
    return layers


def room_right(placed: list[Label]) -> float:
    """Pixels the labels need right of the axes."""
    return max((LETTER * len(_short(label.name)) + 14 for label in placed if label.y is not None), default=0.0)


def room_above(placed: list[Label]) -> float:
    """Pixels the labels need above the axes."""
    return max((ABOVE * (label.row + 1) + 2 for label in placed if label.y is None), default=0.0)


def _own_colour() -> Any:
    return alt.Color("c:N", scale=None, legend=None)


def _row(label: Label) -> dict[str, Any]:
    row = {"t": _short(label.name), "c": token(label.colour, text=True), "x": label.x, "y": label.y}
    return {field: value for field, value in row.items() if value is not None}


def _of_layer(layer: Layer, axes: Axes) -> list[Label]:
    if layer.mark not in ("line", "rule") or axes.y.names:
        return []
    named = layer.text or layer.color if layer.mark == "rule" else layer.color
    if named is None:
        return []
    made = []
    for row in rows(layer, axes):
        name = row["t"] if layer.mark == "rule" and layer.text else row["s"]
        colour = axes.colours[row["s"]] if "s" in row else plain_colour(layer)
        if layer.mark == "line" and row.get("y") is not None:
            made.append(Label(name, colour, row["x"], row["y"]))
        elif layer.mark == "rule" and layer.x is None:
            made.append(Label(name, colour, None, row["y"]))
        elif layer.mark == "rule" and layer.y is None and not axes.x.names:
            made.append(Label(name, colour, row["x"], None))
    return made  # of one name, the last stands


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _apart(beside: list[Label], axes: Axes, height: float) -> list[Label]:
    """Move labels up and down, as little as needed, until a line of text lies between any two."""
    low, high = axes.y.low, axes.y.high
    if len(beside) < 2 or not low < high:
        return beside
    ordered = sorted(beside, key=lambda label: axes.y.fraction(label.y or 0.0))
    heights = [axes.y.fraction(label.y or 0.0) * height for label in ordered]
    for _ in range(200):
        touching = [place for place, (a, b) in enumerate(pairwise(heights)) if b - a < LINE - 0.01]
        if not touching:
            break
        for place in touching:
            excess = (LINE - (heights[place + 1] - heights[place])) / 2
            heights[place] -= excess
            heights[place + 1] += excess
        # none leaves the axes, which would grow to hold it
        heights = [
            min(max(here, LINE * place), height - LINE * (len(heights) - 1 - place))
            for place, here in enumerate(heights)
        ]
    return [
        Label(label.name, label.colour, label.x, axes.y.at(moved / height))
        for label, moved in zip(ordered, heights, strict=True)
    ]


def _stacked(above: list[Label], axes: Axes) -> list[Label]:
    """Put labels above vertical rules in as many rows as keep them from touching."""
    placed: list[Label] = []
    ends: list[float] = []  # right end of every row so far, in pixels of a narrow chart
    for label in sorted(above, key=lambda label: float(label.x or 0.0)):
        centre, half = axes.x.fraction(float(label.x or 0.0)) * 480, LETTER * len(_short(label.name)) / 2 + 6
        row = next((place for place, end in enumerate(ends) if end <= centre - half), len(ends))
        ends[row : row + 1] = [centre + half]
        placed.append(Label(label.name, label.colour, label.x, None, row))
    return placed
