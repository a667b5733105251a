"""The page in a browser: what runs, what is refused, what answers to the keyboard."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.report.example import example_run

from theodolite.report.page import write_page

CHROMIUM = next(
    (path for name in ("chromium", "google-chrome", "chromium-browser") if (path := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install chromium to see the report tested in a browser"),
]
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
LIVE = "html[data-charts=live]"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    return write_page([example_run(folder / "run")], folder / "report.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def page(browser: Any, report: Path) -> Iterator[Any]:
    """The page, live, after everything it said and asked for was written down."""
    page = browser.new_page(viewport={"width": 1200, "height": 900}, accept_downloads=True)
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.add_init_script(
        "window.refused = []; addEventListener('securitypolicyviolation', (e) => refused.push(e.violatedDirective))"
    )
    page.goto(report.as_uri())
    page.wait_for_selector(LIVE)
    yield page
    page.close()


def test_the_policy_refuses_nothing_and_nothing_is_asked_for(page: Any, report: Path) -> None:
    assert page.evaluate("refused") == []
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [report.as_uri()]


def test_the_policy_refuses_a_foreign_script_and_style(browser: Any, report: Path, tmp_path: Path) -> None:
    tampered = tmp_path / "tampered.html"
    evil = "<script>document.title='taken'</script><p style='color:red' onclick='1'>x</p><img src='https://example.org/x.png'>"
    tampered.write_text(report.read_text(encoding="utf-8").replace("</main>", evil + "</main>"), encoding="utf-8")
    page = browser.new_page()
    page.add_init_script(
        "window.refused = []; addEventListener('securitypolicyviolation', (e) => refused.push(e.effectiveDirective))"
    )
    page.goto(tampered.as_uri())
    page.wait_for_selector(LIVE)
    assert page.title() != "taken"
    assert {"script-src-elem", "style-src-attr", "img-src"} <= set(page.evaluate("refused"))
    page.close()


def test_every_chart_is_live_tells_values_and_fills_its_column(page: Any) -> None:
    charts = page.locator("figure.chart")
    assert page.locator("figure.chart .live svg.marks").count() == charts.count() > 0
    assert page.locator(".still").count() == 0
    page.locator("#run0-e4 .canvas .mark-rect path").nth(1).hover(force=True)
    told = page.locator("#vg-tooltip-element.visible")
    told.wait_for()
    assert "39.5" in told.inner_text()
    page.mouse.move(0, 0)


def test_a_chart_is_saved_as_svg_with_its_colours(page: Any) -> None:
    with page.expect_download() as download:
        page.locator("#run0-e0 .save").click()
    assert download.value.suggested_filename == "One-of-two-modes-is-missed.svg"
    svg = Path(download.value.path()).read_text(encoding="utf-8")
    assert "var(" not in svg
    assert "#0072B2" in svg


def test_the_gallery_is_moved_in_and_enlarged_by_keyboard(page: Any) -> None:
    tiles = page.locator("figure.gallery .tile")
    assert page.locator("figure.gallery .tile[tabindex='0']").count() == 1
    tiles.nth(0).focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    viewer = page.locator("#viewer")
    assert viewer.is_visible()
    across = page.evaluate(
        "[...document.querySelectorAll('.tile')].filter((t, _, all) => t.offsetTop === all[0].offsetTop).length"
    )
    assert tiles.nth(across).locator("p").first.inner_text() in viewer.inner_text()
    page.keyboard.press("ArrowRight")
    assert tiles.nth(across + 1).locator("p").first.inner_text() in viewer.inner_text()
    page.keyboard.press("Escape")
    assert not viewer.is_visible()
    assert page.evaluate("document.activeElement.classList.contains('tile')")


def test_the_rows_of_a_strip_move_in_step(page: Any) -> None:
    strip = page.locator("figure.strip")
    places = "[...document.querySelectorAll('.reel image')].map((image) => image.getAttribute('x'))"
    strip.locator(".forward").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(places) == ["-64", "-64", "-64"]
    assert strip.locator("output").inner_text() == "frame 3 of 10"
    strip.locator(".back").click(click_count=3)
    assert strip.locator("output").inner_text() == "frame 10 of 10"
    strip.locator(".play").click()
    strip.locator("output", has_text="frame 2 of 10").wait_for()
    strip.locator(".play").click()
    assert strip.locator(".play").inner_text() == "Play"
    assert len(set(page.evaluate(places))) == 1


def test_a_slider_moves_the_numbers_and_the_rule(page: Any) -> None:
    figure = page.locator("figure.slider")
    dial = figure.locator("input[type=range]")
    rule = "document.querySelector('figure.slider .live .mark-rule.role-mark line').getAttribute('transform')"
    assert figure.locator(".readings .value").all_inner_texts() == ["5.2%", "48"]
    before = page.evaluate(rule)
    dial.focus()
    page.keyboard.press("ArrowRight")
    assert figure.locator(".readings .value").all_inner_texts() == ["6.1%", "61"]
    assert figure.locator(".dial output").inner_text() == "0.5"
    assert dial.get_attribute("aria-valuetext") == "τ = 0.5"
    page.wait_for_function(f"{rule} !== {before!r}")
    page.keyboard.press("End")
    assert figure.locator(".readings .value").all_inner_texts() == ["7.0%", "77"]


@pytest.mark.parametrize("dark", [False, True])
def test_charts_follow_the_reader_s_setting_without_being_drawn_again(page: Any, dark: bool) -> None:
    page.emulate_media(color_scheme="dark" if dark else "light")
    colours = page.evaluate(
        "[['#run0-e0 .canvas text', 'fill'], ['body', 'color']]"
        ".map(([where, what]) => getComputedStyle(document.querySelector(where))[what])"
    )
    shades = [sum(map(int, colour.strip("rgb()").split(","))) for colour in colours]
    assert all((shade > 383) == dark for shade in shades)


def test_print_is_light_and_as_wide_as_paper(page: Any) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 673, "height": 950})
    assert page.evaluate("document.documentElement.scrollWidth") <= 673
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(252, 252, 250)"
    page.emulate_media(media="screen", color_scheme="light")
    page.set_viewport_size({"width": 1200, "height": 900})


def test_a_phone_scrolls_down_only_and_names_series_above_the_chart(browser: Any, report: Path) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(report.as_uri())
    page.wait_for_selector(LIVE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#run0-e0 .key .labelled").first.is_visible()
    widths = page.evaluate(
        "[...document.querySelectorAll('.live svg')].map((svg) => svg.getBoundingClientRect().width)"
    )
    assert max(widths) <= 390
    page.close()


def test_without_javascript_words_tables_and_stills_are_there(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    charts = page.locator("figure.chart")
    for place in range(charts.count()):
        assert charts.nth(place).locator(".still svg").is_visible()
    assert page.locator("figure.strip .reel svg").first.is_visible()
    assert "At τ = 0.1" in page.locator("figure.slider .noscript").inner_text()
    assert page.locator("figure.slider .readings .value").first.inner_text() == "5.2%"
    page.locator("figure.slider summary").click()
    assert page.locator("figure.slider table").is_visible()
    assert page.locator("figure.gallery img").first.is_visible()
    assert not page.locator(".controls").first.is_visible()
    assert "At least 6.1%" in page.inner_text("main")
    context.close()
