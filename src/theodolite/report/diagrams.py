"""Boxes and arrows as SVG, large enough that every line of text has room."""

import textwrap
from html import escape

from theodolite.kernel.exhibits import Arrow, Box, Diagram
from theodolite.report.palette import FONT, painted, token
from theodolite.report.still import legible, standalone

FONT_SIZE = 12.0
SMALLEST = 8.0
LETTER = 0.64  # width of a letter in font sizes, roughly
LINE = 1.35  # height of a line in font sizes
MARGIN = 14.0
NARROWEST, WIDEST = 600.0, 1500.0  # pixels; a page scrolls what is wider than itself
STRETCH = 2.0  # how much more one direction may be scaled than the other
TIP = 8.0

Point = tuple[float, float]


def diagram_svg(diagram: Diagram, dark: bool = False) -> str:
    """Return the diagram as an SVG document of its own, on no ground."""
    return painted(standalone(diagram_still(diagram), FONT), dark)


def diagram_still(diagram: Diagram) -> str:
    """Return the diagram as SVG for a page that defines the colours."""
    scales = _scales(diagram)
    left, top = min(box.x for box in diagram.boxes), min(box.y for box in diagram.boxes)
    boxes = {box.key: _scaled(box, left, top, scales) for box in diagram.boxes}
    ends = [_label_end(arrow, boxes[arrow.start], boxes[arrow.end]) for arrow in diagram.arrows]
    width = max([*ends, *(box.x + box.width for box in boxes.values())]) + MARGIN
    height = max(box.y + box.height for box in boxes.values()) + MARGIN
    parts = [
        _arrow(arrow, boxes[arrow.start], boxes[arrow.end]) for arrow in diagram.arrows if arrow.start != arrow.end
    ]
    parts += [_box(box) for box in boxes.values()]
    parts += [_label(arrow, boxes[arrow.start], boxes[arrow.end]) for arrow in diagram.arrows if arrow.label]
    return (
        f'<svg width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">{"".join(parts)}</svg>'
    )


def _scales(diagram: Diagram) -> Point:
    """Pixels a unit across and down: enough for the text of boxes and for labels between them, shapes roughly kept."""
    width = max(box.x + box.width for box in diagram.boxes) - min(box.x for box in diagram.boxes)
    across, down = [NARROWEST / width], [1e-9]
    for box in diagram.boxes:
        longest = max((len(line) for line in box.lines), default=0)
        across.append((longest * LETTER * FONT_SIZE + 12) / box.width)
        down.append((len(box.lines) * LINE * FONT_SIZE + 8) / box.height)
    by_key = {box.key: box for box in diagram.boxes}
    for arrow in diagram.arrows:
        start, end = by_key[arrow.start], by_key[arrow.end]
        gap = max(start.x, end.x) - min(start.x + start.width, end.x + end.width)
        if arrow.label and gap > 0 and _shared(start.y, start.height, end.y, end.height) is not None:
            longest = max(len(word) for word in arrow.label.split() or [""])
            across.append((longest * LETTER * FONT_SIZE + 24) / gap)
    x = min(max(across), WIDEST / width)
    y = max(max(down), x / STRETCH)
    return max(x, min(y / STRETCH, WIDEST / width)), y


def _scaled(box: Box, left: float, top: float, scales: Point) -> Box:
    x, y = (box.x - left) * scales[0] + MARGIN, (box.y - top) * scales[1] + MARGIN
    return box.model_copy(update={"x": x, "y": y, "width": box.width * scales[0], "height": box.height * scales[1]})


def _box(box: Box) -> str:
    fill, stroke = token("raised"), token("link") if box.accent else token("muted")
    size = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
    frame = f'<rect {size} rx="4" fill="{fill}" stroke="{stroke}" stroke-width="{2 if box.accent else 1}"/>'
    lines, font = _fitted(box)
    first = box.y + box.height / 2 - (len(lines) - 1) * LINE * font / 2 + 0.35 * font
    middle = box.x + box.width / 2
    return frame + "".join(
        _text(line, middle, first + place * LINE * font, font, "bold" if place == 0 and len(lines) > 1 else "normal")
        for place, line in enumerate(lines)
    )


def _fitted(box: Box) -> tuple[list[str], float]:
    """Wrap and shrink the lines of a box until they lie within it, or are as small as can be read."""
    font = FONT_SIZE
    while True:
        letters = max(3, int((box.width - 8) / (LETTER * font)))
        lines = [part for line in box.lines for part in textwrap.wrap(line, letters) or [""]]
        if font <= SMALLEST or len(lines) * LINE * font <= box.height - 4:
            return lines[: max(1, int((box.height - 2) / (LINE * font)))], font
        font -= 0.5


def _text(
    line: str, x: float, y: float, font: float, weight: str = "normal", anchor: str = "middle", halo: bool = False
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{font:g}" font-weight="{weight}" text-anchor="{anchor}"'
    edge = f' stroke="{token("paper")}" stroke-width="4" paint-order="stroke"' if halo else ""
    return f'<text {place}{edge} fill="{token("ink")}">{escape(legible(line))}</text>'


def _shared(a: float, a_size: float, b: float, b_size: float) -> float | None:
    """Return the middle of what two spans have in common."""
    low, high = max(a, b), min(a + a_size, b + b_size)
    return (low + high) / 2 if low < high else None


def _ends(start: Box, end: Box) -> tuple[Point, Point]:
    """Return where an arrow leaves and lands: level or upright where boxes face each other, else from side to side."""
    across = _shared(start.y, start.height, end.y, end.height)
    if across is not None:
        rightward = start.x < end.x
        return (start.x + start.width * rightward, across), (end.x + end.width * (not rightward), across)
    downward = start.y < end.y
    upright = _shared(start.x, start.width, end.x, end.width)
    a, b = (upright, upright) if upright is not None else (start.x + start.width / 2, end.x + end.width / 2)
    return (a, start.y + start.height * downward), (b, end.y + end.height * (not downward))


def _arrow(arrow: Arrow, start: Box, end: Box) -> str:
    (x1, y1), (x2, y2) = _ends(start, end)
    length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5 or 1.0
    along, beside = ((x2 - x1) / length, (y2 - y1) / length), (-(y2 - y1) / length, (x2 - x1) / length)
    foot = (x2 - TIP * along[0], y2 - TIP * along[1])
    wings = [(foot[0] + side * TIP / 2.4 * beside[0], foot[1] + side * TIP / 2.4 * beside[1]) for side in (1, -1)]
    tip = " ".join(f"L{x:.1f},{y:.1f}" for x, y in wings)
    colour, dash = token("muted"), ' stroke-dasharray="5 4"' if arrow.dashed else ""
    line = f'd="M{x1:.1f},{y1:.1f}L{foot[0]:.1f},{foot[1]:.1f}" fill="none" stroke="{colour}" stroke-width="1.5"{dash}'
    return f'<path {line}/><path d="M{x2:.1f},{y2:.1f}{tip}Z" fill="{colour}"/>'


def _label_end(arrow: Arrow, start: Box, end: Box) -> float:
    """Return how far right a label beside an arrow reaches; what stands above a level arrow lies between its boxes."""
    (x1, y1), (x2, y2) = _ends(start, end)
    return (x1 + x2) / 2 + 7 + len(arrow.label) * LETTER * FONT_SIZE if arrow.label and abs(y2 - y1) >= 1 else 0.0


def _label(arrow: Arrow, start: Box, end: Box) -> str:
    """Write a label above a level arrow, in as many lines as it needs, or to the right of any other."""
    (x1, y1), (x2, y2) = _ends(start, end)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    if abs(y2 - y1) >= 1:
        return _text(arrow.label, x + 7, y + 4, FONT_SIZE - 1, anchor="start", halo=True)
    lines = textwrap.wrap(arrow.label, max(1, int((abs(x2 - x1) - 14) / (LETTER * FONT_SIZE))))
    first = y - 5 - (len(lines) - 1) * LINE * FONT_SIZE
    return "".join(_text(line, x, first + n * LINE * FONT_SIZE, FONT_SIZE, halo=True) for n, line in enumerate(lines))
