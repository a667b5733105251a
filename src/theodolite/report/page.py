"""Run folders to one HTML file that needs nothing else: no network, no script but its own."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import jinja2
import vl_convert
from markupsafe import Markup

from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.files import write_atomically
from theodolite.kernel.runs import RunFolder
from theodolite.report.exhibits import Shown
from theodolite.report.palette import stylesheet
from theodolite.report.sections import Section, section
from theodolite.report.verdicts import MARKS, WORDS, state, tally

LARGEST = 2_000_000  # bytes of a page
QUALITIES = (None, 70, 40)  # of images; the next is tried where a page weighs too much


@dataclass(frozen=True)
class Overall:
    """What is said of several runs together, on the first screen."""

    title: str
    state: str
    sentence: str


def write_page(runs: Sequence[RunFolder], path: Path, title: str | None = None) -> Path:
    """Write the report of one run, or of several in one page.

    Parameters
    ----------
    runs : sequence of RunFolder
        Planned at least; with an audit, theory stands beside practice.
    path : Path
        The HTML file to write.
    title : str or None
        The heading; without one, what was examined.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    UsageError
        If there is no run.
    DataError
        If a run folder is damaged, or the page would be heavier than 2 MB however its images are packed.
    ResourceError
        If the file cannot be written.
    """
    if not runs:
        raise UsageError("a report needs a run; name at least one run folder")
    for quality in QUALITIES:
        sections = [section(run, f"run{place}", quality) for place, run in enumerate(runs)]
        content = render(sections, title).encode(errors="replace")
        if len(content) <= LARGEST:
            write_atomically(path, content)
            return path
    shown = [(s, e) for s in sections for e in (*s.exhibits, *s.plan_exhibits)]
    heaviest = max(shown, key=lambda pair: pair[1].weight, default=None)
    blame = f"; the heaviest exhibit is {heaviest[1].exhibit.title!r} of {heaviest[0].name}" if heaviest else ""
    raise DataError(
        f"the report would weigh {len(content) / 1e6:.1f} MB, the limit is {LARGEST / 1e6:g} MB{blame}: show less"
    )


def render(sections: Sequence[Section], title: str | None = None) -> str:
    """Return the page of the given sections as HTML."""
    style = stylesheet() + _static("page.css")
    scripts = [_static("page.js")]
    if any(shown.exhibit.kind in ("chart", "slider") for part in sections for shown in _all_shown(part)):
        scripts.insert(0, _vega())
    template = _environment().get_template("page.html.j2")
    return template.render(
        sections=sections,
        overall=_overall(sections, title),
        policy=_policy(style, scripts),
        style=Markup(style),
        scripts=[Markup(script) for script in scripts],
        marks=MARKS,
        words=WORDS,
    )


def _all_shown(part: Section) -> list[Shown]:
    return [*part.exhibits, *part.plan_exhibits, *([part.course] if part.course else [])]


def _overall(sections: Sequence[Section], title: str | None) -> Overall:
    if len(sections) == 1:
        only = sections[0]
        return Overall(title or only.title, only.state, only.tally)
    states = [part.state for part in sections]
    verdict = state([s for s in states if s in ("holds", "fails", "undecided")])
    verdict = "planned" if "planned" in states and verdict != "fails" else verdict
    measured = [row.state for part in sections for row in part.rows if row.state != "planned"]
    return Overall(title or f"{len(sections)} runs, theory beside practice", verdict, tally(measured))


def _policy(style: str, scripts: Sequence[str]) -> str:
    """Return a content security policy that lets run exactly these scripts and this style, and load nothing."""
    allowed = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@lru_cache(maxsize=1)
def _vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, from the chart library itself."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle.replace("</script", "<\\/script")


def _static(name: str) -> str:
    return (files("theodolite.report") / "static" / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("theodolite.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
