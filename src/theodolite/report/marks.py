"""One layer of a chart as a layer of Altair. Fields have fixed names, so no column's name is ever read as a path."""

import math
from itertools import pairwise
from typing import Any

import altair as alt

from theodolite.kernel.exhibits import Cell, Chart, Layer
from theodolite.report.axes import Axes, Axis, as_name, as_number, plain_colour
from theodolite.report.numbers import number
from theodolite.report.palette import token

LONGEST_LINE = 300  # points a series; more are thinned, the highest and lowest of every stretch kept
MOST_POINTS = 3000
DASH = [6, 4]

Row = dict[str, Any]


def rows(layer: Layer, axes: Axes) -> list[Row]:
    """Return the data of a layer: ``x y y2 s t`` (s the series, t the text), without what cannot be drawn."""
    made = [
        row
        for place in range(len(next(iter(layer.columns.values()), [])))
        if (row := _row(layer, axes, place)) is not None
    ]
    if layer.mark in ("line", "area"):
        return _thinned(made)
    step = -(-len(made) // MOST_POINTS) or 1
    return made[::step]


def draw(chart: Chart, layer: Layer, axes: Axes, title_lift: float) -> alt.Chart:
    """Return one layer: its mark, its place and its colour."""
    data = rows(layer, axes)
    clip = chart.x_domain is not None or chart.y_domain is not None
    channels: dict[str, Any] = {
        "color": _colour(layer, axes),
        "tooltip": tooltip(chart, axes, layer.color is not None) if layer.mark in ("point", "bar") else alt.value(None),
    }
    if layer.x is not None:
        channels["x"] = horizontal(chart, axes.x)
    if layer.y is not None:
        channels["y"] = vertical(chart, axes.y, title_lift)
    if layer.y2 is not None:
        channels["y2"] = alt.Y2("y2")
    if axes.abreast and layer.color is not None:
        side, channel = ("xOffset", alt.XOffset) if axes.x.names else ("yOffset", alt.YOffset)
        channels[side] = channel("s:N", scale=alt.Scale(domain=list(axes.abreast)))
    if layer.mark == "bar":
        _widen(chart, layer, axes, data, channels)
    if layer.mark == "line":
        channels["order"] = alt.Order("i:Q")
        data = numbered(data)
        if layer.color is not None:
            channels["detail"] = alt.Detail("s:N")
    if layer.mark == "text":
        channels["text"] = alt.Text("t:N")
    return alt.Chart(alt.InlineData(values=data), mark=_mark(layer, len(data), clip)).encode(**channels)


def numbered(data: list[Row]) -> list[Row]:
    """Return rows that remember their order, which is the order a line is drawn in."""
    return [{**row, "i": place} for place, row in enumerate(data)]


def horizontal(chart: Chart, axis: Axis) -> alt.X:
    """Return the channel of the horizontal axis."""
    if axis.names:
        return alt.X(
            "x:N",
            title=chart.x_title,
            scale=_names(chart, axis),
            axis=alt.Axis(labelAngle=0, labelOverlap=True, grid=False),
        )
    roomy = any(layer.mark in ("point", "text") for layer in chart.layers)
    scale = alt.Scale(type=chart.x_scale, **_bounds(chart.x_domain, chart.x_scale, nice=roomy, zero=False))
    return alt.X("x:Q", title=chart.x_title, scale=scale, axis=alt.Axis(labelOverlap=True, **_ticks(axis)))


def vertical(chart: Chart, axis: Axis, title_lift: float = 0.0) -> alt.Y:
    """Return the channel of the vertical axis, its title lying above it."""
    above = -12 - title_lift
    if axis.names:
        bare = alt.Axis(titleY=above, grid=False)
        return alt.Y("y:N", title=chart.y_title, scale=_names(chart, axis), axis=bare)
    zero = chart.y_scale == "linear" and any(layer.mark == "bar" and layer.y2 is None for layer in chart.layers)
    scale = alt.Scale(type=chart.y_scale, **_bounds(chart.y_domain, chart.y_scale, nice=True, zero=zero))
    ticks = alt.Axis(titleY=above, labelOverlap=True, **_ticks(axis))
    return alt.Y("y:Q", title=chart.y_title, scale=scale, axis=ticks)


def tooltip(chart: Chart, axes: Axes, series: bool, x: str = "x") -> list[alt.Tooltip]:
    """Return what is told on pointing: the series, x and y."""
    lines = [_told(x, axes.x, chart.x_title or "x"), _told("y", axes.y, chart.y_title or "y")]
    return [alt.Tooltip("s:N", title="series"), *lines] if series else lines


def _told(field: str, axis: Axis, title: str) -> alt.Tooltip:
    return (
        alt.Tooltip(f"{field}:N", title=title) if axis.names else alt.Tooltip(f"{field}:Q", title=title, format=",.6~g")
    )


def _row(layer: Layer, axes: Axes, place: int) -> Row | None:
    row: Row = {}
    for channel, column, axis in (("x", layer.x, axes.x), ("y", layer.y, axes.y), ("y2", layer.y2, axes.y)):
        if column is None:
            continue
        value = _placed(layer.columns[column][place], axis)
        if value is None and not (
            layer.mark == "line" and channel == "y"
        ):  # a gap breaks a line, elsewhere it is left out
            return None
        row[channel] = value
    if layer.color is not None:
        row["s"] = as_name(layer.columns[layer.color][place])
    if layer.text is not None:
        cell = layer.columns[layer.text][place]
        as_figure = as_number(cell)
        row["t"] = as_name(cell) if as_figure is None else number(as_figure)
    return row


def _placed(cell: Cell, axis: Axis) -> float | str | None:
    if axis.names:
        return None if cell is None else as_name(cell)
    value = as_number(cell)
    # seven digits: more than can be seen, half the weight
    return None if value is None or (axis.scale == "log" and value <= 0) else float(f"{value:.7g}")


def _thinned(made: list[Row]) -> list[Row]:
    """Keep of every long series the lowest and the highest of each stretch, and both ends."""
    kept: list[Row] = []
    for series in dict.fromkeys(row.get("s") for row in made):
        line = [row for row in made if row.get("s") == series]
        if len(line) <= LONGEST_LINE or isinstance(line[0].get("y"), str):
            kept += line[:MOST_POINTS]
            continue
        stretch = -(-2 * len(line) // LONGEST_LINE)
        places = {0, len(line) - 1}
        for start in range(0, len(line), stretch):
            inside = [place for place in range(start, min(start + stretch, len(line))) if line[place]["y"] is not None]
            if inside:
                places |= {min(inside, key=lambda at: line[at]["y"]), max(inside, key=lambda at: line[at]["y"])}
        kept += [line[place] for place in sorted(places)]
    return kept


def _names(chart: Chart, axis: Axis) -> alt.Scale:
    """Return a scale of names; few bars are kept from growing wide."""
    bars = any(layer.mark == "bar" for layer in chart.layers)
    room: dict[str, Any] = {"paddingInner": max(0.15, 0.9 - 0.15 * len(axis.names))} if bars else {}
    return alt.Scale(domain=list(axis.names), **room)


def _bounds(domain: tuple[float, float] | None, scale: str, *, nice: bool, zero: bool) -> dict[str, Any]:
    start = {"zero": zero} if scale == "linear" else {}  # the other scales know no such thing
    return {"nice": nice, **start} if domain is None else {"domain": list(domain), "nice": False, **start}


def _ticks(axis: Axis) -> dict[str, Any]:
    """Return about six ticks; on a logarithmic axis that spans decades the powers of ten alone."""
    if axis.scale == "log" and axis.low > 0:
        first, last = math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high))
        step = -(-(last - first) // 8) or 1
        if last - first > 1:
            return {"values": [float(f"1e{power}") for power in range(first, last + 1, step)]}
    return {"tickCount": 6}


def _colour(layer: Layer, axes: Axes) -> Any:
    if layer.color is None:
        return alt.value(token(plain_colour(layer), text=layer.mark == "text"))
    names, colours = list(axes.colours), [token(colour) for colour in axes.colours.values()]
    return alt.Color("s:N", scale=alt.Scale(domain=names, range=colours), legend=None)


def _widen(chart: Chart, layer: Layer, axes: Axes, data: list[Row], channels: Row) -> None:
    """Give bars their foot and, over numbers, a width: as wide as the numbers are apart."""
    if chart.y_scale == "log" and layer.y2 is None and not axes.y.names:  # a logarithm has no zero to stand on
        foot = 10.0 ** math.floor(math.log10(axes.y.low))
        data[:] = [{**row, "y2": foot} for row in data]
        channels["y2"] = alt.Y2("y2")
    elif layer.y2 is None and not axes.x.names and not axes.y.names:
        channels["y2"] = alt.Y2Datum(0)
    if axes.x.names or axes.y.names:
        return
    centres = sorted({row["x"] for row in data})
    half = min((b - a for a, b in pairwise(centres)), default=1.0) / 2
    data[:] = [{**row, "x": row["x"] - half, "xr": row["x"] + half, "tx": row["x"]} for row in data]
    channels["tooltip"] = tooltip(chart, axes, layer.color is not None, x="tx")
    channels["x2"] = alt.X2("xr")


def _mark(layer: Layer, count: int, clip: bool) -> alt.MarkDef:
    if layer.mark == "line":
        return alt.MarkDef("line", strokeWidth=2, strokeDash=DASH if layer.dashed else [1, 0], clip=clip)
    if layer.mark == "area":
        return alt.MarkDef("area", opacity=0.28, clip=clip)
    if layer.mark == "point":
        size, opacity = 60 if count <= 60 else 24, 0.9 if count <= 200 else 0.7
        return alt.MarkDef("point", filled=True, size=size, opacity=opacity, clip=clip)
    if layer.mark == "bar":
        return alt.MarkDef("bar", opacity=0.75 if layer.color else 0.9, clip=clip)
    if layer.mark == "rule":
        alone = layer.x is None or layer.y is None
        dash = DASH if layer.dashed or (alone and layer.color is None) else [1, 0]
        return alt.MarkDef("rule", strokeWidth=1.5, strokeDash=dash, clip=clip)
    return alt.MarkDef("text", dy=-9, fontSize=12, clip=clip)
