"""The windows, looked through as a person would: a browser that clicks its way to the winner."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.flows.project import environment, free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # a whole search belongs to the first test
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the browser Chromium, which is not installed"),
]
# Set to a folder to keep pictures of the pages.
PICTURES = os.environ.get("EAGLEEYE_PICTURES")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def pages(undisturbed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses of the servers; the search has also been asked for through the other door."""
    folder = tmp_path_factory.mktemp("windows") / "project"
    shutil.copytree(undisturbed, folder, symlinks=True)
    prefect, mlflow = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    ports = {"PREFECT_SERVER_API_PORT": prefect.split(":")[2], "MLFLOW_PORT": mlflow.split(":")[2]}
    settings = environment(folder, PREFECT_API_URL=f"{prefect}/api", **ports)

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=folder, env=settings, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("flows.servers", "up")
    run("prefect", "deployment", "run", "eagleeye/search", "--watch")
    yield {"Prefect": prefect, "MLflow": mlflow}
    run("flows.servers", "down")


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        yield page
        browser.close()


@pytest.fixture
def winner(undisturbed: Path) -> "pd.Series[str]":
    return pd.read_parquet(undisturbed / "artifacts" / "ranking.parquet").set_index("rank").loc[1]


def keep(page: Page, name: str) -> None:
    if PICTURES:
        page.wait_for_timeout(2500)
        page.screenshot(path=f"{PICTURES}/{name}.png")


def test_the_winner_is_found_in_mlflow_by_clicking(pages: dict[str, str], page: Page, winner: "pd.Series[str]") -> None:
    page.goto(pages["MLflow"])
    page.get_by_text("Model training").first.click()
    page.get_by_role("link", name="eagleeye").first.click()
    page.get_by_role("link", name="cifar_resnet20 at 50% MACs").first.click()
    expect(page.get_by_text(winner["id"]).first).to_be_visible()
    keep(page, "mlflow-search")

    with page.expect_popup() as opened:
        page.get_by_text("Candidates, best first").click()
    candidates = opened.value
    best = candidates.get_by_role("link", name=re.compile(r"^s\d{4}")).first
    expect(best).to_have_text(f"{winner['id']} · {winner['accuracy']:.4f} · winner")
    keep(candidates, "mlflow-candidates")
    best.click()
    expect(candidates.get_by_role("heading", name="winner")).to_be_visible()
    expect(candidates.get_by_text(f"{winner['accuracy']:.4f}"[:5]).first).to_be_visible()


def test_the_charts_of_the_candidates_are_drawn(pages: dict[str, str], page: Page) -> None:
    page.goto(pages["MLflow"])
    page.get_by_text("Model training").first.click()
    page.get_by_role("link", name="eagleeye").first.click()
    page.get_by_role("link", name="cifar_resnet20 at 50% MACs").first.click()
    with page.expect_popup() as opened:
        page.get_by_text("Charts of the best").click()
    expect(opened.value.locator(".js-plotly-plot").first).to_be_visible()
    keep(opened.value, "mlflow-charts")


def test_prefect_shows_the_run_its_stages_and_the_ranking(
    pages: dict[str, str], page: Page, winner: "pd.Series[str]"
) -> None:
    page.goto(f"{pages['Prefect']}/runs")
    run = page.get_by_role("link", name="cifar_resnet20, 40 candidates").first
    expect(run).to_be_visible()
    run.click()
    expect(page.get_by_text("Completed").first).to_be_visible()
    expect(page.get_by_text("report: up to date").first).to_be_visible()
    keep(page, "prefect-run")
    page.get_by_text("Artifacts", exact=True).last.click()
    page.get_by_text("ranking", exact=True).first.click()
    expect(page.get_by_text(winner["id"]).first).to_be_visible()
    keep(page, "prefect-ranking")
