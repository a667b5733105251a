"""Grids as heat maps: WebP in one perceptually even scale, with extents and a bar that says what a colour means."""

from dataclasses import dataclass
from html import escape

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from theodolite.kernel.errors import DataError
from theodolite.kernel.exhibits import Grid
from theodolite.kernel.runs import RunFolder
from theodolite.report.arrays import read_numbers
from theodolite.report.numbers import number
from theodolite.report.palette import token
from theodolite.report.pictures import address

# viridis at nine even steps; between them colours are mixed
VIRIDIS = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")
MOST_CELLS = 320  # a side; more are averaged in blocks
MOST_PANELS = 24
FEW = 3  # panels up to which they are shown large
LARGE, SMALL = 216.0, 152.0  # pixels across

Cells = NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """A heat map: its name, its drawing, and in words what it holds."""

    name: str
    svg: Markup
    alternative: str


def panels(run: RunFolder, grid: Grid, prefix: str, quality: int | None) -> list[Panel]:
    """Return the panels of a grid; `prefix` makes ids unique on the page.

    Raises
    ------
    DataError
        If the array cannot be read (see `arrays`), or names and panels differ in number.
    """
    cells = read_numbers(run, grid.array, 3)
    if len(grid.panel_names) != len(cells):
        named = len(grid.panel_names)
        raise DataError(f"{run.exhibits / grid.array} holds {len(cells)} panels but has {named} names; audit again")
    cells = np.where(np.isfinite(cells), cells, np.nan)[:MOST_PANELS]
    common = _extent(cells) if grid.shared_scale else None
    width = LARGE if len(cells) <= FEW else SMALL
    made = []
    for place, (name, panel) in enumerate(zip(grid.panel_names, cells, strict=False)):
        low, high = common or _extent(panel)
        svg = _draw(grid, panel, (low, high), width, "" if common else f"{prefix}-{place}", quality)
        made.append(Panel(name, Markup(svg), f"{name}: {_range(low, high)}"))
    if common:
        bar = _svg(LARGE + 8, 34, _bar(4, 4, LARGE, common, prefix))
        made.append(Panel("one scale for all", Markup(bar), f"all panels: {_range(*common)}"))
    return made


def colours(cells: Cells, low: float, high: float) -> NDArray[np.uint8]:
    """Return the colour of every cell as RGB with opacity; a cell that holds no number is transparent."""
    known = np.isfinite(cells)
    position = np.clip((np.where(known, cells, low) - low) / (high - low if high > low else 1.0), 0, 1)
    anchors = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in VIRIDIS], dtype=float)
    steps = np.linspace(0, 1, len(anchors))
    channels = [np.interp(position, steps, anchors[:, channel]) for channel in range(3)]
    return np.stack([*channels, np.where(known, 255.0, 0.0)], axis=-1).round().astype(np.uint8)


def binned(cells: Cells, largest: int = MOST_CELLS) -> Cells:
    """Average blocks of cells, so that neither side has more than `largest`; cells without a number are passed over."""
    for axis in (0, 1):
        size = cells.shape[axis]
        if size > largest:
            starts = np.arange(0, size, -(-size // largest))
            total = np.add.reduceat(np.nan_to_num(cells), starts, axis=axis)
            count = np.add.reduceat(np.isfinite(cells).astype(float), starts, axis=axis)
            cells = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return cells


def _extent(cells: Cells) -> tuple[float, float]:
    known = cells[np.isfinite(cells)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def _range(low: float, high: float) -> str:
    return f"values from {number(low, 3)} to {number(high, 3)}"


def _draw(grid: Grid, panel: Cells, extent: tuple[float, float], width: float, bar: str, quality: int | None) -> str:
    """Return one map with its extents and, where `bar` gives it an id, with a bar of colours below."""
    rows, columns = panel.shape
    height = min(1.5 * width, max(width / 3, width * rows / columns))
    left = 8 + 6.4 * max((len(number(value, 3)) for value in grid.y_domain or ()), default=0)
    top, parts = (20.0 if grid.y_title else 4.0), []
    # hard pixels while a cell is larger than a pixel of the screen
    crisp = ' class="crisp"' if max(rows, columns) <= width else ""
    place = f'x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" preserveAspectRatio="none"'
    parts.append(f'<image{crisp} {place} href="{address(colours(binned(panel), *extent), quality)}"/>')
    right, below = left + width, top + height
    if grid.y_title:
        parts.append(_text(grid.y_title, left, 12, "start"))
    if grid.y_domain:
        parts.append(_text(number(grid.y_domain[1], 3), left - 5, top + 10, "end"))
        parts.append(_text(number(grid.y_domain[0], 3), left - 5, below, "end"))
    if grid.x_domain or grid.x_title:
        below += 16
        first, last = (number(value, 3) for value in grid.x_domain) if grid.x_domain else ("", "")
        parts += [_text(first, left, below, "start"), _text(last, right, below, "end")]
        parts.append(_text(grid.x_title, (left + right) / 2, below, "middle"))
    if bar:
        parts.append(_bar(left, below + 14, width, extent, bar))
    return _svg(right + 4, below + (44 if bar else 6), "".join(parts))


def _svg(width: float, height: float, content: str) -> str:
    return f'<svg width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}">{content}</svg>'


def _bar(x: float, y: float, width: float, extent: tuple[float, float], ident: str) -> str:
    last, (low, high) = len(VIRIDIS) - 1, extent
    stops = "".join(f'<stop offset="{place / last:g}" stop-color="{colour}"/>' for place, colour in enumerate(VIRIDIS))
    gradient = f'<defs><linearGradient id="{ident}-scale">{stops}</linearGradient></defs>'
    bar = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="8" rx="2" fill="url(#{ident}-scale)"/>'
    ends = [(low, x, "start"), ((low + high) / 2, x + width / 2, "middle"), (high, x + width, "end")]
    return gradient + bar + "".join(_text(number(value, 3), at, y + 22, anchor) for value, at, anchor in ends)


def _text(text: str, x: float, y: float, anchor: str) -> str:
    place = f'x="{x:g}" y="{y:g}" font-size="11" text-anchor="{anchor}"'
    return f'<text {place} fill="{token("muted")}">{escape(text)}</text>' if text else ""
