"""Stills: SVG that is part of a page, of known elements and attributes only, its ids its own."""

import re
from html import escape
from typing import Any
from xml.etree import ElementTree

_NAMESPACE = ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
_ELEMENTS = {"svg", "g", "path", "line", "rect", "circle", "text", "tspan", "defs", "clipPath"}
_WORDS = (
    "d cx cy r x y x1 x2 y1 y2 dx dy width height viewBox transform id clip-path "
    "fill fill-opacity stroke stroke-width stroke-opacity stroke-dasharray stroke-dashoffset "
    "stroke-linecap stroke-linejoin stroke-miterlimit opacity rx ry "
    "text-anchor font-size font-weight font-style dominant-baseline paint-order"
)
_ATTRIBUTES = frozenset(_WORDS.split())
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_CIRCLE = re.compile(r"M([\d.]+),0A\1,\1,0,1,1,-\1,0A\1,\1,0,1,1,\1,0Z?$")
_PLACE = re.compile(r"translate\((-?[\d.]+),(-?[\d.]+)\)$")
_USELESS = {"opacity": "1", "stroke-opacity": "1", "transform": "translate(0,0)"}


def cleaned(svg: str, prefix: str) -> str:
    """Reduce the SVG of a chart to what a page needs: no classes, styles, links or invisible paths.

    Parameters
    ----------
    svg : str
        As the chart library renders it.
    prefix : str
        Put before every id, so that the stills of one page do not share clips.
    """
    root = ElementTree.fromstring(svg.replace(_NAMESPACE, "", 1))
    _clean(root, prefix)
    return ElementTree.tostring(root, encoding="unicode")


def legible(value: Any) -> Any:
    """Return a document of dicts, lists and text without the letters that XML forbids: one aborts the chart library."""
    if isinstance(value, str):
        return _FORBIDDEN.sub("\ufffd", value)
    if isinstance(value, dict):
        return {name: legible(part) for name, part in value.items()}
    return [legible(part) for part in value] if isinstance(value, list) else value


def standalone(svg: str, font: str) -> str:
    """Return the SVG as a document of its own, its font named."""
    namespace = _NAMESPACE.split(" xmlns:")[0]
    return svg.replace("<svg", f'<svg{namespace} font-family="{escape(font, quote=True)}"', 1)


def _clean(element: ElementTree.Element, prefix: str) -> None:
    for name, value in list(element.attrib.items()):
        if name not in _ATTRIBUTES or _USELESS.get(name) == value:
            del element.attrib[name]
        elif name == "id":
            element.set(name, prefix + value)
        elif name == "clip-path":
            element.set(name, value.replace("url(#", f"url(#{prefix}"))
        elif name in ("d", "transform"):
            element.set(name, _LONG_NUMBER.sub(lambda match: f"{float(match[0]):.2f}", value))
    _round(element)
    # the path of a clip has no colour, yet without it the clip hides everything
    clips = element.tag == "clipPath"
    children = [child for child in element if child.tag in _ELEMENTS and (clips or not _draws_nothing(child))]
    for child in children:
        _clean(child, prefix)
    # groups that group nothing are taken out, their children put in their place
    element[:] = [kept for child in children for kept in (child if child.tag == "g" and not child.attrib else [child])]


def _round(element: ElementTree.Element) -> None:
    """Write a path that is a circle as one, at half the weight: a cloud has thousands."""
    circle, place = _CIRCLE.match(element.get("d", "")), _PLACE.match(element.get("transform", ""))
    if circle and place:
        del element.attrib["d"], element.attrib["transform"]
        element.tag = "circle"
        element.attrib.update(cx=f"{float(place[1]):.1f}", cy=f"{float(place[2]):.1f}", r=circle[1])


def _draws_nothing(element: ElementTree.Element) -> bool:
    if element.get("display") == "none":
        return True
    return element.tag == "path" and element.get("fill") is None and element.get("stroke") is None
