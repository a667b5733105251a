import re
from xml.etree import ElementTree

import pytest
from tests.report import example

from theodolite.kernel.exhibits import Arrow, Box, Diagram
from theodolite.report.diagrams import LETTER, WIDEST, diagram_svg


def texts(svg: str) -> list[tuple[str, float, float, float]]:
    """Text, x, y and font size of everything written."""
    return [
        ("".join(node.itertext()), float(node.get("x", 0)), float(node.get("y", 0)), float(node.get("font-size", 0)))
        for node in ElementTree.fromstring(svg).iter()
        if node.tag.endswith("text")
    ]


@pytest.mark.parametrize("diagram", [example.u_net(), example.transformer()], ids=lambda diagram: diagram.title)
def test_every_line_is_written_whole_and_no_two_overlap(diagram: Diagram) -> None:
    written = texts(diagram_svg(diagram))
    for box in diagram.boxes:
        for line in box.lines:
            assert any(text == line for text, *_ in written), line
    spans = [(x - LETTER * size * len(t) / 2, x + LETTER * size * len(t) / 2, y, size) for t, x, y, size in written]
    for place, (left, right, y, size) in enumerate(spans):
        for other_left, other_right, other_y, _ in spans[place + 1 :]:
            assert abs(y - other_y) >= 0.9 * size or right <= other_left or other_right <= left


def test_a_box_too_small_for_its_text_wraps_and_shrinks_it() -> None:
    boxes = [
        Box(
            key="a", x=0, y=0, width=1, height=1, lines=("a very long line of words that cannot stand in one row " * 2,)
        ),
        Box(key="b", x=400, y=0, width=1, height=1, lines=()),
    ]
    svg = diagram_svg(Diagram(title="t", caption="c", boxes=tuple(boxes)))
    width = float(re.search(r'width="(\d+)"', svg)[1])  # type: ignore[index]
    assert width <= WIDEST + 40
    assert all(size >= 8 for *_, size in texts(svg))


def test_arrows_leave_from_the_side_they_face_and_markup_is_text() -> None:
    boxes = (
        Box(key="a", x=0, y=0, width=10, height=4, lines=("<script>alert(1)</script>",)),
        Box(key="b", x=0, y=20, width=10, height=4, lines=("below",)),
        Box(key="c", x=30, y=0, width=10, height=4, lines=("right",)),
    )
    arrows = (
        Arrow(start="a", end="b"),
        Arrow(start="a", end="c", dashed=True, label="x & y"),
        Arrow(start="a", end="a"),
    )
    svg = diagram_svg(Diagram(title="t", caption="c", boxes=boxes, arrows=arrows), dark=True)
    assert "<script" not in svg
    assert "x &amp; y" in svg
    starts = re.findall(r'd="M([\d.]+),([\d.]+)L([\d.]+),([\d.]+)" fill="none"', svg)
    (x1, _, x2, _), (_, y1, _, y2) = starts
    assert x1 == x2
    assert y1 == y2
    assert svg.count("stroke-dasharray") == 1
