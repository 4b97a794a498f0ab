"""DVC's page of plots draws what it is given, and loads nothing from elsewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLOTS = """\
plots:
  - ranking:
      template: scatter
      x: rank
      y: {ranking.csv: accuracy}
  - training:
      template: simple
      x: epoch
      y: {training.csv: loss}
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of two plots, with this project's settings of DVC."""
    folder = tmp_path_factory.mktemp("plots")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    (folder / ".dvc").mkdir()
    for name in ("config", "plots.html"):
        shutil.copy(ROOT / ".dvc" / name, folder / ".dvc")
    (folder / "dvc.yaml").write_text(PLOTS)
    (folder / "ranking.csv").write_text("rank,accuracy\n1,0.9\n2,0.8\n3,0.7\n")
    (folder / "training.csv").write_text("epoch,loss\n1,2.0\n2,1.0\n")
    environment = {**os.environ, "DVC_NO_ANALYTICS": "true"}
    subprocess.run([sys.executable, "-m", "dvc", "plots", "show"], cwd=folder, check=True, env=environment, timeout=120)
    return folder / "dvc_plots" / "index.html"


def test_no_script_of_it_is_elsewhere(page):
    text = page.read_text(encoding="utf-8")
    assert "vegaEmbed('#" in text
    own = re.sub(r"<script>\n/\*.*?</script>", "", text, flags=re.DOTALL)
    assert re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=", own) == ['<link rel="icon" href=']
    assert "cdn" not in own


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the browser Chromium, which is not installed")
def test_it_draws_without_a_network(page):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_context(offline=True).new_page()
        asked, said = [], []
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("pageerror", lambda error: said.append(str(error)))
        shown.goto(page.as_uri())
        shown.wait_for_selector(".vega-embed canvas, .vega-embed svg.marks")
        shown.wait_for_timeout(500)
        assert shown.locator(".vega-embed canvas, .vega-embed svg.marks").count() == 2
        menus = shown.locator(".vega-actions").all_text_contents()
        browser.close()
    assert [address for address in asked if not address.startswith(("file:", "data:"))] == []
    assert said == []
    assert len(menus) == 2
    assert not any("Editor" in menu for menu in menus)
