"""The colours of a report, light and dark. Charts name them as CSS variables, so the reader's setting decides.

Data wear the eight colours of Okabe and Ito (2008), safe for colour-blind readers.
"""

import re

REAL, GENERATED, ACCENT, THEORY = "real", "generated", "accent", "theory"
SERIES = {
    ACCENT: "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "yellow": "#F0E442",
    REAL: "#0072B2",
    GENERATED: "#D55E00",
}
PAGE = {
    False: {
        "paper": "#fcfcfa",
        "raised": "#f3f4f0",
        "ink": "#1c2126",
        "muted": "#5a636b",
        "line": "#dfe2dd",
        "link": "#006b4e",
        "fail": "#a83f00",
    },
    True: {
        "paper": "#14171a",
        "raised": "#1e2327",
        "ink": "#e6e9eb",
        "muted": "#9ba6af",
        "line": "#30373d",
        "link": "#4fcaa2",
        "fail": "#ff9a57",
    },
}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
READABLE = 4.5  # contrast of text with its ground (WCAG 2, AA)


def token(name: str, *, text: bool = False) -> str:
    """Return what a chart writes for a colour: ``var(--real)``, or the shade of it that is readable as text."""
    return f"var(--{name}-text)" if text else f"var(--{name})"


def variables(dark: bool) -> dict[str, str]:
    """Return every colour of the page by the name of its CSS variable."""
    page = PAGE[dark]
    colours = {**page, THEORY: page["ink"], f"{THEORY}-text": page["ink"], **SERIES}
    colours.update({f"{name}-text": _readable(colour, page["ink"], page["paper"]) for name, colour in SERIES.items()})
    return colours


def stylesheet() -> str:
    """Return the CSS that gives the variables their values."""
    light, dark = (
        ":root{" + "".join(f"--{name}:{value};" for name, value in variables(mode).items()) + "}"
        for mode in (False, True)
    )
    return f"{light}@media screen and (prefers-color-scheme:dark){{{dark}}}"


def painted(svg: str, dark: bool) -> str:
    """Replace the names of colours by colours, for a picture that stands outside a page."""
    colours = variables(dark)
    return re.sub(r"var\(--([a-z-]+)\)", lambda match: colours[match[1]], svg)


def _readable(colour: str, ink: str, paper: str) -> str:
    """Mix ink into a colour until it can be read on paper."""
    for percent in range(0, 100, 5):
        mixed = _mix(colour, ink, percent / 100)
        if _contrast(mixed, paper) >= READABLE:
            return mixed
    return ink


def _mix(colour: str, other: str, share: float) -> str:
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(a * (1 - share) + b * share):02x}" for a, b in pairs)


def _contrast(colour: str, ground: str) -> float:
    lower, upper = sorted((_luminance(colour), _luminance(ground)))
    return (upper + 0.05) / (lower + 0.05)


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (x / 255 for x in _channels(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
