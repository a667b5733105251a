import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from tests.report.example import every_kind, example_audit, example_run

from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.exhibits import Gallery, Table, Text
from theodolite.kernel.records import Figure
from theodolite.kernel.runs import RunFolder
from theodolite.report.page import LARGEST, write_page

EVIL = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>{{ 7*7 }}</style>"""


class Outline(HTMLParser):
    """What a page consists of: its tags, the text of its headings, ids, and what has a text alternative."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if re.fullmatch("h[1-6]", tag):
            self._open = tag
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._open:
            self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.headings[-1] += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return example_run(tmp_path_factory.mktemp("page") / "run")


@pytest.fixture(scope="module")
def page(run: RunFolder) -> str:
    return write_page([run], run.path / "report.html").read_text(encoding="utf-8")


def test_the_order_is_that_of_a_report(page: str) -> None:
    marks = [
        "<h1>A linear VAE", "3 of 4 predictions hold", "At least 6.1%", "1 warning to read", '<ul class="figures">',
        ">Theory beside practice<", ">What was seen<", ">What was planned<", ">How it was done<", ">Warnings<",
        "No GPU was used.",
    ]  # fmt: skip
    places = [page.index(mark) for mark in marks]
    assert places == sorted(places)


def test_every_exhibit_is_there_with_its_finding_and_a_text_alternative(run: RunFolder, page: str) -> None:
    outline = Outline(page)
    for exhibit in (*run.audit.exhibits, *run.plan.exhibits):
        assert exhibit.title in outline.headings
    kinds = {str(attrs.get("class")).split()[-1] for tag, attrs in outline.tags if tag == "figure"}
    assert kinds == {"chart", "gallery", "strip", "grid", "table", "text", "diagram"}
    for tag, attrs in outline.tags:
        if tag == "img":
            assert attrs["alt"]
        if attrs.get("role") in ("img", "region"):
            assert attrs.get("aria-label") or attrs.get("aria-labelledby")
    identifiers = [attrs["id"] for _, attrs in outline.tags if attrs.get("id")]
    assert len(identifiers) == len(set(identifiers))


def test_a_page_loads_nothing_and_styles_nothing_in_place(page: str) -> None:
    for tag, attrs in Outline(page).tags:
        assert "style" not in attrs
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href"):
            assert (attrs.get(name) or "#").startswith(("#", "data:image/webp;base64,")), (tag, attrs)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert "unsafe" not in policy[1]
    assert policy[1].startswith("default-src &#39;none&#39;")


def test_weight(page: str) -> None:
    assert len(page.encode()) <= 1_500_000 < LARGEST


def test_a_falsified_prediction_is_said_first(tmp_path: Path) -> None:
    run = example_run(tmp_path / "run", failing=True)
    text = write_page([run], tmp_path / "report.html").read_text(encoding="utf-8")
    failed = text.index("measured −58.900\u00a0±\u00a00.034 nats per sample")
    assert text.index("1 of 4 predictions fails") < failed < text.index("At least 6.1%")


def test_without_an_audit_the_plan_stands_alone(tmp_path: Path) -> None:
    run = example_run(tmp_path / "run", audited=False)
    text = write_page([run], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "4 predictions, not measured yet" in text
    assert f"theodolite linear-vae audit {run.path}" in text
    assert "What was planned" in text
    assert "What was seen" not in text


def test_several_runs_have_one_verdict_and_a_table_of_contents(run: RunFolder, tmp_path: Path) -> None:
    runs = [run, example_run(tmp_path / "b", failing=True), example_run(tmp_path / "c", audited=False)]
    text = write_page(runs, tmp_path / "report.html", title="A demonstration").read_text(encoding="utf-8")
    assert "<h1>A demonstration</h1>" in text
    assert "1 of 8 predictions fails, 5 hold, 2 are undecided" in text
    assert [text.count(f'href="#run{place}"') for place in range(3)] == [1, 1, 1]
    assert text.count("window.vegaEmbed=") == 1
    assert text.index("predicted exactly") < text.index("Contents")


def test_hostile_names_are_text(tmp_path: Path) -> None:
    run = example_run(tmp_path / "run")
    audit = example_audit(run, failing=False, warnings=(EVIL,))
    chart, *others = every_kind(run)
    evil_layers = tuple(
        layer.model_copy(update={"columns": {**layer.columns, layer.color: [EVIL] * 161}}) if layer.color else layer
        for layer in (chart.layers[0], *chart.layers[2:])
    )
    evil_chart = chart.model_copy(update={"title": EVIL, "caption": EVIL, "x_title": EVIL, "layers": evil_layers})
    renamed = [other.model_copy(update={"title": EVIL, "caption": EVIL}) for other in others]
    evil = audit.model_copy(
        update={
            "title": EVIL,
            "sentences": (EVIL,),
            "figures": (Figure(value=EVIL, unit=EVIL, meaning=EVIL),),
            "exhibits": (
                evil_chart, *renamed,
                Table(title="t", caption="", columns=(EVIL,), rows=((EVIL,),)),
                Text(title="t", paragraphs=(EVIL,)),
            ),
        }
    )  # fmt: skip
    run.write_record("audit.json", evil)
    run.write_json("environment.json", {"command": EVIL, "system": EVIL, "versions": {EVIL: EVIL}})
    page = write_page([run], tmp_path / "report.html", title=EVIL).read_text(encoding="utf-8")
    tags = [tag for tag, attrs in Outline(page).tags if tag != "script"]
    assert "onerror" not in {name for _, attrs in Outline(page).tags for name in attrs}
    assert page.count("<script>") == 2
    assert page.count("<style>") == 1
    assert page.count("alert(1)</script>") == 0
    assert "img" in tags  # the gallery's own
    for found in re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL):
        json.loads(found)


def test_damage_is_told_in_one_line(tmp_path: Path) -> None:
    run = example_run(tmp_path / "run")
    for name, content, said in [
        ("environment.json", b"[1]", "environment.json is damaged"),
        ("audit.json", b'{"family": 3}', "audit.json is damaged"),
        ("plan.json", b"{", "plan.json is damaged"),
        ("config.toml", b"= 3", "cannot be read as TOML"),
    ]:
        kept = (run.path / name).read_bytes()
        (run.path / name).write_bytes(content)
        with pytest.raises(DataError, match=said) as caught:
            write_page([run], tmp_path / "report.html")
        assert "\n" not in str(caught.value)
        (run.path / name).write_bytes(kept)
    assert not (tmp_path / "report.html").exists()


def test_a_record_too_large_to_read_is_not_read(tmp_path: Path) -> None:
    run = example_run(tmp_path / "run")
    with (run.path / "audit.json").open("wb") as file:
        file.truncate(17 * 2**20)
    with pytest.raises(DataError, match="a report reads 16 MiB at most"):
        write_page([run], tmp_path / "report.html")


def test_a_page_too_heavy_packs_its_images_tighter_then_names_the_culprit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = example_run(tmp_path / "run")
    run.save_array("noise", np.random.default_rng(0).integers(0, 256, (4, 200, 200, 3)).astype(np.uint8))
    noisy = Gallery(title="Noise", caption="", array="noise.npy", labels=("",) * 4)
    run.write_record("audit.json", run.audit.model_copy(update={"exhibits": (noisy,)}))
    heavy = write_page([run], tmp_path / "report.html").stat().st_size
    monkeypatch.setattr("theodolite.report.page.LARGEST", heavy - 1)
    assert write_page([run], tmp_path / "report.html").stat().st_size < heavy
    monkeypatch.setattr("theodolite.report.page.LARGEST", 500_000)
    with pytest.raises(DataError, match=r"the limit is 0.5 MB; the heaviest exhibit is 'Noise' of run: show less"):
        write_page([run], tmp_path / "report.html")


def test_a_changed_audit_is_noticed(tmp_path: Path) -> None:
    run = example_run(tmp_path / "run", warnings=())
    audit = run.audit
    first = audit.findings[0]
    changed = first.model_copy(update={"prediction": first.prediction.model_copy(update={"value": -58.9})})
    run.write_record("audit.json", audit.model_copy(update={"findings": (changed, *audit.findings[1:])}))
    text = write_page([run], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "one of the two files was changed" in text
    assert "1 warning to read before trusting this" in text


def test_no_run_no_report(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a run"):
        write_page([], tmp_path / "report.html")


@pytest.mark.parametrize("bad", ["Infinity", "NaN", 1e-308, 1e308, -1e308, 0])
def test_an_exhibit_that_cannot_be_drawn_is_named(tmp_path: Path, bad: object) -> None:
    """Numbers no audit would write: the page is written, or one line says which exhibit is to blame."""
    run = example_run(tmp_path / "run")
    axes = {"x_title": "x", "y_title": "y", "title": "odd", "caption": ""}
    odd = [
        {"kind": "diagram", "title": "odd", "caption": "", "boxes": [
            {"key": "a", "x": bad, "y": 0, "width": 1, "height": 1, "lines": ["a line"]},
            {"key": "b", "x": 2, "y": bad, "width": bad or 1, "height": 1, "lines": ["another"]},
        ]},
        {"kind": "chart", **axes, "layers": [
            {"mark": "line", "columns": {"x": [1, bad, 2], "y": [bad, 1, 2]}, "x": "x", "y": "y"},
        ]},
        {"kind": "chart", **axes, "y_scale": "log", "y_domain": [bad, 1], "layers": [
            {"mark": "bar", "columns": {"x": [1, 2], "y": [bad, 2]}, "x": "x", "y": "y"},
        ]},
        {"kind": "chart", **axes, "layers": [
            {"mark": "bar", "columns": {"x": ["\x08", "\x00"], "y": [1, 2]}, "x": "x", "y": "y"},
        ]},
    ]  # fmt: skip
    audit = json.loads((run.path / "audit.json").read_text())
    for exhibit in odd:
        audit["exhibits"] = [exhibit]
        (run.path / "audit.json").write_text(json.dumps(audit))
        try:
            write_page([run], tmp_path / "report.html")
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017
            assert "'odd'" in str(error) or "is damaged" in str(error)  # noqa: PT017


def test_broken_letters_do_not_stop_the_page(tmp_path: Path) -> None:
    run = example_run(tmp_path / "run")
    (run.path / "environment.json").write_text('{"command": "\\ud800 \\u0000"}')
    assert "How it was done" in write_page([run], tmp_path / "report.html").read_text(encoding="utf-8")
