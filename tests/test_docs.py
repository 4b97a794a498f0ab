"""The documentation: it is whole, its links lead somewhere, and it needs nothing from elsewhere."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import eagleeye

ROOT = Path(__file__).parents[1]
LOADING = {
    "script": "src",
    "img": "src",
    "source": "srcset",
    "iframe": "src",
    "video": "src",
    "audio": "src",
    "link": "href",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages, built as `make docs` does; a warning, for instance of a link that leads nowhere, is a failure."""
    folder = tmp_path_factory.mktemp("site")
    command = re.search(r"python (-m sphinx .*) \. build/docs", (ROOT / "Makefile").read_text()).group(1)
    state = ("-d", str(folder / "state"))
    done = subprocess.run(
        [sys.executable, *command.split(), *state, ".", str(folder / "pages")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "pages"


class Loaded(HTMLParser):
    """What a browser loads for a page by itself, and what the page's names are."""

    def __init__(self, page):
        super().__init__()
        self.addresses, self.ids = [], set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get("id"))
        if tag in LOADING and found.get(LOADING[tag]):
            self.addresses.append(found[LOADING[tag]])


def test_no_page_or_style_loads_anything_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    addresses = [address for page in pages for address in Loaded(page).addresses]
    for style in site.rglob("*.css"):
        addresses += re.findall(r"""(?:url\(|@import)\s*["']?([^"')\s]+)""", style.read_text(encoding="utf-8"))
    assert [address for address in addresses if re.match(r"(\w+:)?//", address)] == []


def test_every_public_name_is_in_the_reference(site):
    ids = set.union(*(Loaded(page).ids for page in (site / "docs" / "reference").glob("*.html")))
    assert [name for name in eagleeye.__all__ if f"eagleeye.{name}" not in ids] == []


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the browser Chromium, which is not installed")
def test_it_is_read_and_searched_from_files_without_a_network(site):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_context(offline=True).new_page()
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto((site / "index.html").as_uri())
        page.wait_for_url("**/docs/index.html")
        page.fill("input[name=q]", "refitted")
        page.press("input[name=q]", "Enter")
        page.wait_for_selector("ul.search a")
        page.click("ul.search a >> text=Better candidates")
        assert page.inner_text("h1").startswith("Better candidates")
        browser.close()
    assert [address for address in asked if not address.startswith(("file:", "data:"))] == []
    assert said == []
