"""Charts drawn: from the kernel's record to Altair, to a Vega-Lite specification, to a still."""

from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert

from theodolite.kernel.exhibits import Chart, Layer
from theodolite.report.axes import Axes, as_name
from theodolite.report.labels import label_layers, labels, room_above, room_right
from theodolite.report.marks import draw, horizontal, numbered, rows, tooltip, vertical
from theodolite.report.palette import FONT, painted, token
from theodolite.report.still import cleaned, legible, standalone

HEIGHT = 300
SIDE = 380  # of a square chart
MOST_NAMES = 100  # on a vertical axis, before they stand closer than can be read
WIDTH = 720  # of a picture that stands alone
PAGE_WIDTH = 848  # of the page's column
PADDING = 6
POINTERS = "near"  # begins the names of the layers that are there to be pointed at


def altair_chart(chart: Chart) -> alt.LayerChart:
    """Return the chart in Altair: as wide as what it stands in (a square one keeps its size), with tooltips.

    Its colours are names of CSS variables, which the page defines for the light and the dark (see `palette`).
    """
    axes = Axes.of(chart)
    side = SIDE if chart.square else HEIGHT
    height = side if not axes.y.names else max(120, 26 * min(len(axes.y.names), MOST_NAMES))
    placed = labels(chart, axes, height)
    lift = room_above(placed)
    layers = [draw(chart, layer, axes, lift) for layer in chart.layers]
    layers += label_layers(chart, axes, placed, lift)
    lines = [layer for layer in chart.layers if layer.mark == "line"]
    layers += [_pointers(chart, layer, axes, lift, f"{POINTERS}{place}") for place, layer in enumerate(lines)]
    made: alt.LayerChart = (
        alt.layer(*layers)
        .properties(
            width=side if chart.square else "container",
            height=height,
            padding={"left": PADDING, "top": PADDING, "bottom": PADDING, "right": PADDING + room_right(placed)},
            autosize=alt.AutoSizeParams(type="pad" if chart.square else "fit-x", contains="padding"),
        )
        .configure(**_config())
    )
    return made


def chart_spec(chart: Chart) -> dict[str, Any]:
    """Return the chart as a Vega-Lite specification."""
    # each part was validated when it was made
    spec: dict[str, Any] = legible(altair_chart(chart).to_dict(validate=False))
    return spec


def with_rule(spec: dict[str, Any], place: float) -> dict[str, Any]:
    """Add a vertical rule at a number of the horizontal axis, which the parameter ``setting`` moves."""
    axis = next(layer["encoding"]["x"] for layer in spec["layer"] if "x" in layer["encoding"])
    rule = {
        "name": "setting-rule",
        "data": {"values": [{}]},
        "transform": [{"calculate": "setting", "as": "x"}],
        "mark": {"type": "rule", "strokeWidth": 2},
        "encoding": {"x": {**axis, "field": "x"}, "color": {"value": token("ink")}},
    }
    # the parameter stands first: what it moves is drawn from it
    return {
        **spec,
        "params": [{"name": "setting", "value": place}, *spec.get("params", [])],
        "layer": [*spec["layer"], rule],
    }


def still(spec: dict[str, Any], prefix: str = "", width: int = PAGE_WIDTH) -> str:
    """Return a chart's specification as SVG for a page that defines the colours.

    Parameters
    ----------
    spec : dict
        From `chart_spec`.
    prefix : str
        Put before every id, which makes it unique on the page.
    width : int
        Pixels, all in; a square chart keeps its own.
    """
    layers = [layer for layer in spec["layer"] if not layer.get("name", "").startswith(POINTERS)]
    fixed = {**spec, "layer": layers, "width": width if spec["width"] == "container" else spec["width"]}
    # only what is pointed at is left out; the rule of a slider stands where it starts
    fixed["params"] = [param for param in spec.get("params", []) if param["name"] == "setting"]
    return cleaned(vl_convert.vegalite_to_svg(fixed, allowed_base_urls=[]), prefix)


def chart_svg(chart: Chart, dark: bool = False) -> str:
    """Return the chart as an SVG document of its own, on no ground, for readers in the light or in the dark."""
    return painted(standalone(still(chart_spec(chart), width=WIDTH), FONT), dark)


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
    told = {*direct, *axes.x.names, *axes.y.names}
    key = [Key(name, token(colour), name in dashed, name in told) for name, colour in axes.colours.items()]
    # a rule may be named by its text alone
    rules = [label for label in direct.values() if label.y is not None and label.name not in axes.colours]
    return key + [Key(label.name, token(label.colour), True, True) for label in rules]


def _pointers(chart: Chart, layer: Layer, axes: Axes, lift: float, name: str) -> alt.Chart:
    """Return the points of a line, seen only while pointed at."""
    near = alt.selection_point(name=f"{name}-point", on="pointerover", clear="pointerout", empty=False)
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
        .properties(name=name)
    )
    return points


def _config() -> dict[str, Any]:
    ink, muted, line = token("ink"), token("muted"), token("line")
    return {
        "background": "transparent",
        "font": FONT,
        "aria": False,
        "view": alt.ViewConfig(stroke=None),
        "locale": {"number": {"decimal": ".", "thousands": ",", "grouping": [3], "currency": ["", ""]}},
        "axis": alt.AxisConfig(
            labelColor=muted,
            titleColor=muted,
            gridColor=line,
            labelFontSize=12,
            titleFontSize=13,
            titleFontWeight="normal",
            titlePadding=10,
            labelPadding=6,
            labelLimit=240,
            titleLimit=600,
            domain=False,
            ticks=False,
        ),
        "axisX": alt.AxisConfig(domain=True, domainColor=muted, domainOpacity=0.6),
        "axisY": alt.AxisConfig(titleAngle=0, titleAlign="left", titleBaseline="bottom", titleX=0),
        "text": alt.MarkConfig(color=ink, font=FONT),
    }
