"""Exhibits made ready for the page: one function a kind."""

import json
import re
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from theodolite.kernel.errors import DataError
from theodolite.kernel.exhibits import Cell, Chart, Diagram, Exhibit, Gallery, Grid, Slider, Strip, Table
from theodolite.kernel.runs import RunFolder
from theodolite.report.axes import as_name, as_number
from theodolite.report.diagrams import diagram_still
from theodolite.report.figures import chart_spec, series_key, still, with_rule
from theodolite.report.heatmaps import MOST_PANELS, panels
from theodolite.report.numbers import column, integer, number
from theodolite.report.pictures import reels, tiles

MOST_ROWS = 500
_NUMERIC = re.compile(r"[≤≥≈<>~±]? ?[−+-]?[\d∞][\d,.]*(×10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?( ± [\d,.]+)?( ?%)?|–|")
LONG = 14  # rows from which the head of a table stays in sight


@dataclass(frozen=True)
class Shown:
    """An exhibit as the template takes it; `content` depends on the kind."""

    exhibit: Exhibit
    ident: str
    content: Any
    remark: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def weight(self) -> int:
        """Letters it takes on the page, roughly."""
        return len(str(self.content)) + len(str(self.extra))


def show(run: RunFolder, exhibit: Exhibit, ident: str, quality: int | None) -> Shown:
    """Make an exhibit ready.

    Parameters
    ----------
    exhibit : Exhibit
        As the audit or the plan describes it.
    ident : str
        Its id on the page, unique there.
    quality : int or None
        Of its images, 1 to 100; None is the best.

    Raises
    ------
    DataError
        If an array it names cannot be read, or its numbers cannot be drawn.
    """
    try:
        return _ready(run, exhibit, ident, quality)
    except (ValueError, ArithmeticError, ElementTree.ParseError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"the exhibit {exhibit.title!r} of {run.path} cannot be drawn: {reason}; audit again") from None


def _ready(run: RunFolder, exhibit: Exhibit, ident: str, quality: int | None) -> Shown:
    if isinstance(exhibit, Chart):
        return _chart(exhibit, ident)
    if isinstance(exhibit, Slider):
        return _slider(exhibit, ident)
    if isinstance(exhibit, Gallery):
        content, remark = tiles(run, exhibit, quality)
        return Shown(exhibit, ident, content, remark)
    if isinstance(exhibit, Strip):
        rows, remark = reels(run, exhibit, quality)
        return Shown(exhibit, ident, rows, remark)
    if isinstance(exhibit, Grid):
        count = len(exhibit.panel_names)
        remark = f"The first {MOST_PANELS} of {count} panels are shown." if count > MOST_PANELS else ""
        return Shown(exhibit, ident, panels(run, exhibit, ident, quality), remark)
    if isinstance(exhibit, Table):
        return _table(exhibit, ident)
    if isinstance(exhibit, Diagram):
        return Shown(exhibit, ident, Markup(diagram_still(exhibit)))
    return Shown(exhibit, ident, exhibit.paragraphs)


def _chart(chart: Chart, ident: str) -> Shown:
    spec = chart_spec(chart)
    extra = {"spec": _embedded(spec), "key": series_key(chart)}
    return Shown(chart, ident, Markup(still(spec, f"{ident}-")), extra=extra)


def _embedded(document: Any) -> Markup:
    """Write a document as JSON in which nothing can end the element it stands in."""
    return Markup(json.dumps(document, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))


def _slider(slider: Slider, ident: str) -> Shown:
    """Draw the chart with a rule at the stop shown first; on the page the rule follows."""
    drawn = _chart(slider.chart, ident)
    spec = with_rule(chart_spec(slider.chart), slider.stops[slider.start])
    written = number_stops(slider.stops)
    extra = {
        "spec": _embedded(spec),
        "key": drawn.extra["key"],
        "stops": written,
        "readings": _embedded({"stops": list(slider.stops), "written": written, "rows": slider.rows}),
    }
    return Shown(slider, ident, Markup(still(spec, f"{ident}-")), extra=extra)


def number_stops(stops: tuple[float, ...]) -> list[str]:
    """Write the values of a slider."""
    return [number(stop) for stop in stops]


def _table(table: Table, ident: str) -> Shown:
    shown = table.rows[:MOST_ROWS]
    columns = [_cells([row[place] for row in shown]) for place in range(len(table.columns))]
    numeric = [any(cell != "–" for cell in cells) and all(map(_NUMERIC.fullmatch, cells)) for cells in columns]
    remark = (
        f"The first {integer(MOST_ROWS)} of {integer(len(table.rows))} rows are shown."
        if len(table.rows) > MOST_ROWS
        else ""
    )
    return Shown(
        table,
        ident,
        list(zip(*columns, strict=True)) if columns else [],
        remark,
        extra={"numeric": numeric, "long": len(shown) >= LONG},
    )


def _cells(cells: list[Cell]) -> list[str]:
    """Write the cells of one column; its broken numbers get decimals in common."""
    broken = [value for cell in cells if isinstance(cell, float) and (value := as_number(cell)) is not None]
    written = dict(zip(broken, column(broken), strict=True))
    return [_cell(cell, written) for cell in cells]


def _cell(cell: Cell, written: dict[float, str]) -> str:
    if isinstance(cell, float):
        return written.get(cell) or number(cell)
    return as_name(cell) if isinstance(cell, bool | str) or cell is None else integer(cell)
