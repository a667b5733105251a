"""The site of docs/: every page is in its menu, and nothing in it is fetched from elsewhere."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FETCHED = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)""")


def test_every_page_is_in_the_menu_once():
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2].partition("\ntheme:\n")[0]
    pages = re.findall(r": (\S+\.md)$", menu, re.MULTILINE)
    assert sorted(pages) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_what_would_be_fetched_is_seen():
    for tag in (
        '<script src="https://a.b/c.js">',
        "<link rel=stylesheet href=//fonts.b/c>",
        '<img alt="" src="http://a/b">',
    ):
        assert FETCHED.search(tag), tag
    for tag in ('<a href="https://a.b/">', '<script src="../js/a.js">'):
        assert not FETCHED.search(tag), tag


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if importlib.util.find_spec("material") is None:
        pytest.skip("no mkdocs-material: make docs installs it")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_site_fetches_nothing(site):
    pages = sorted(site.rglob("*.html"))
    assert site / "guides" / "pca.html" in pages
    for page in pages:
        assert not FETCHED.findall(page.read_text(encoding="utf-8")), page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", sheet.read_text(encoding="utf-8")), sheet.name


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install chromium to see the site searched in a browser")
def test_the_site_is_searched_from_disk(site):
    playwright = pytest.importorskip("playwright.sync_api")
    asked, said = [], []
    with playwright.sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = chromium.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((site / "guides" / "pca.html").as_uri())
        page.locator("input.md-search__input").press_sequentially("Eckart")
        page.wait_for_selector(".md-search-result__item a[href*='formulas']", state="attached", timeout=60_000)
        chromium.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
