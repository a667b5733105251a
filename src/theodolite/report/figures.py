"""Charts drawn: from the kernel's record to Altair, to a Vega-Lite specification, to a still."""

from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import vl_convert

from theodolite.kernel.exhibits import Chart, Layer
from theodolite.report.axes import Axes, as_name
from theodolite.report.labels import label_layers, labels, room_above, room_right
from theodolite.report.marks import draw, horizontal, numbered, rows, tooltip, vertical
from theodolite.report.palette import FONT, painted, token
from theodolite.report.still import cleaned, standalone

HEIGHT = 300
SIDE = 380  # of a square chart
WIDTH = 720  # of a still, all in
PADDING = 6


def altair_chart(chart: Chart, width: int | Literal["container"] = WIDTH, *, live: bool = False) -> alt.LayerChart:
    """Return the chart in Altair.

    Parameters
    ----------
    chart : Chart
        What a family described.
    width : int or "container"
        Of the whole picture in pixels, or as wide as the element it stands in. A square chart keeps its own.
    live : bool
        Whether lines get points to point at, for tooltips.
    """
    axes = Axes.of(chart)
    side = SIDE if chart.square else HEIGHT
    height = side if not axes.y.names else max(120, 26 * len(axes.y.names))
    placed = labels(chart, axes, height)
    lift = room_above(placed)
    layers = [draw(chart, layer, axes, lift) for layer in chart.layers]
    layers += label_layers(chart, axes, placed, lift)
    if live:
        lines = [layer for layer in chart.layers if layer.mark == "line"]
        layers += [_pointers(chart, layer, axes, lift, f"near{place}") for place, layer in enumerate(lines)]
    made: alt.LayerChart = (
        alt.layer(*layers)
        .properties(
            width=side if chart.square else width,
            height=height,
            padding={"left": PADDING, "top": PADDING, "bottom": PADDING, "right": PADDING + room_right(placed)},
            autosize=alt.AutoSizeParams(type="pad" if chart.square else "fit-x", contains="padding"),
        )
        .configure(**_config())
    )
    return made


def chart_spec(chart: Chart, width: int | Literal["container"] = "container", *, live: bool = True) -> dict[str, Any]:
    """Return the chart as a Vega-Lite specification; its colours are names of CSS variables (see `palette`)."""
    spec: dict[str, Any] = altair_chart(chart, width, live=live).to_dict()
    return spec


def chart_still(chart: Chart, prefix: str) -> str:
    """Return the chart as SVG for a page that defines the colours; `prefix` makes its ids unique there."""
    spec = chart_spec(chart, WIDTH, live=False)
    return cleaned(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]), prefix)


def chart_svg(chart: Chart, dark: bool = False) -> str:
    """Return the chart as an SVG document of its own, on no ground, for readers in the light or in the dark."""
    return painted(standalone(chart_still(chart, ""), FONT), dark)


@dataclass(frozen=True)
class Key:
    """A series in words: its name and colour, whether it is dashed, and whether the chart itself names it."""

    name: str
    colour: str
    dashed: bool
    labelled: bool


def series_key(chart: Chart) -> list[Key]:
    """Return the key of a chart, in the order of its series."""
    dashed = {
        as_name(cell)
        for layer in chart.layers
        if layer.dashed and layer.color is not None
        for cell in layer.columns[layer.color]
    }
    axes = Axes.of(chart)
    direct = {label.name: label for label in labels(chart, axes, HEIGHT)}
    key = [Key(name, token(colour), name in dashed, name in direct) for name, colour in axes.colours.items()]
    # a rule may be named by its text alone
    rules = [label for label in direct.values() if label.y is not None and label.name not in axes.colours]
    return key + [Key(label.name, token(label.colour), True, True) for label in rules]


def _pointers(chart: Chart, layer: Layer, axes: Axes, lift: float, name: str) -> alt.Chart:
    """Return the points of a line, seen only while pointed at."""
    near = alt.selection_point(name=name, on="pointerover", clear="pointerout", empty=False)
    data = alt.InlineData(values=numbered(rows(layer, axes)))
    points: alt.Chart = (
        alt.Chart(data, mark=alt.MarkDef("point", filled=True, size=130, color=token("ink")))
        .encode(
            x=horizontal(chart, axes.x),
            y=vertical(chart, axes.y, lift),
            opacity=alt.condition(near, alt.value(0.5), alt.value(0)),
            tooltip=tooltip(chart, axes, layer.color is not None),
        )
        .add_params(near)
    )
    return points


def _config() -> dict[str, Any]:
    ink, muted, line = token("ink"), token("muted"), token("line")
    return {
        "background": "transparent",
        "font": FONT,
        "aria": False,
        "view": alt.ViewConfig(stroke=None),
        "locale": {"number": {"decimal": ".", "thousands": "\u202f", "grouping": [3], "currency": ["", ""]}},
        "axis": alt.AxisConfig(
            labelColor=muted,
            titleColor=muted,
            gridColor=line,
            labelFontSize=12,
            titleFontSize=13,
            titleFontWeight="normal",
            titlePadding=10,
            labelPadding=6,
            labelLimit=160,
            titleLimit=600,
            domain=False,
            ticks=False,
        ),
        "axisX": alt.AxisConfig(domain=True, domainColor=muted, domainOpacity=0.6),
        "axisY": alt.AxisConfig(titleAngle=0, titleAlign="left", titleBaseline="bottom", titleX=0),
        "text": alt.MarkConfig(color=ink, font=FONT),
    }
