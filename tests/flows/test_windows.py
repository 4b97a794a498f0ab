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

    def run(*command: str, ends: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=folder, env=settings, capture_output=True, text=True, check=False
        )
        assert done.returncode == ends, done.stdout + done.stderr
        return done.stdout

    run("flows.servers", "up")
    search = ("prefect", "deployment", "run", "eagleeye/search", "--watch")
    watched = run(*search)
    failed = run(*search, "--param", "top_k=500", ends=1)
    printed = re.search(r"MLflow +(\S+)", run("flows.servers", "up"))
    assert printed is not None and printed[1].startswith(f"{mlflow}/#/experiments/")
    yield {"Prefect": prefect, "MLflow": printed[1], "watched": watched, "failed": failed}
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


def test_the_printed_address_shows_what_came_of_the_search(
    pages: dict[str, str], page: Page, winner: "pd.Series[str]"
) -> None:
    page.goto(pages["MLflow"])
    expect(page.get_by_role("heading", name=re.compile(r"cifar_resnet20 at 50% MACs · \S+% → \S+%"))).to_be_visible()
    page.get_by_text("evenly pruned").first.scroll_into_view_if_needed()
    for line in ("full network", "evenly pruned", f"winner {winner['id']}"):
        expect(page.get_by_text(line, exact=True).first).to_be_visible()
    expect(page.get_by_text("Show more")).to_have_count(0)  # nothing is folded
    keep(page, "mlflow-search")

    page.get_by_text("Model metrics").first.click()
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    expect(page.get_by_text("candidates", exact=True)).to_be_visible()
    expect(page.locator(".js-plotly-plot .bars path")).to_have_count(0)
    keep(page, "mlflow-curves")


def test_the_winner_is_found_in_mlflow_by_clicking(pages: dict[str, str], page: Page, winner: "pd.Series[str]") -> None:
    page.goto(pages["MLflow"])
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Candidates, by score").click()
    candidates = opened.value
    best = candidates.get_by_role("link", name=f"{winner['id']} · {winner['accuracy']:.4f} · winner")
    expect(best).to_be_visible()
    keep(candidates, "mlflow-runs")
    best.click()
    expect(candidates.get_by_role("heading", name="winner")).to_be_visible()
    expect(candidates.get_by_text(f"{winner['accuracy']:.4f}"[:5]).first).to_be_visible()


def test_searches_alone_are_listed_from_the_page_of_runs(pages: dict[str, str], page: Page) -> None:
    page.goto(pages["MLflow"].partition("/runs/")[0] + "/runs?workflowType=machine_learning")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="All searches").click()
    searches = opened.value
    expect(searches.get_by_role("link", name=re.compile("^cifar_resnet20 at 50% MACs")).last).to_be_visible()
    expect(searches.get_by_text("1 matching run", exact=False).first).to_be_visible()
    keep(searches, "mlflow-searches")


@pytest.mark.parametrize(
    ("link", "drawn", "name"),
    [
        ("Charts of the best", "Parallel Coordinates", "mlflow-charts"),
        ("Fine-tuning", "validation_accuracy", "mlflow-tuning"),
    ],
)
def test_the_charts_of_a_search_are_drawn(pages: dict[str, str], page: Page, link: str, drawn: str, name: str) -> None:
    page.goto(pages["MLflow"])
    with page.expect_popup() as opened:
        page.get_by_role("link", name=link, exact=True).click()
    expect(opened.value.get_by_text(drawn).first).to_be_visible()
    expect(opened.value.locator("canvas, .js-plotly-plot").first).to_be_visible()
    keep(opened.value, name)


def test_the_terminal_shows_the_result_of_a_run_that_is_watched(
    pages: dict[str, str], winner: "pd.Series[str]"
) -> None:
    watched = " ".join(pages["watched"].split())
    assert re.search(r"the ranking of \d+, best first:", watched)
    assert f"pruned ({winner['id']})" in watched
    assert "network: artifacts/finetune/pruned.safetensors" in watched
    failed = " ".join(pages["failed"].split())
    assert "search failed: params.yaml: rank.top_k is 500: must not exceed strategies.count" in failed
    assert "run it again: what is done is kept" in failed


def test_the_form_tells_the_values_of_the_settings(pages: dict[str, str], page: Page) -> None:
    page.goto(f"{pages['Prefect']}/deployments")
    page.get_by_role("link", name="search", exact=True).first.click()
    page.get_by_role("button", name="Run", exact=True).first.click()
    page.get_by_text("Custom run").first.click()
    expect(page.get_by_text("Last seen in params.yaml: 0.5").first).to_be_visible()
    keep(page, "prefect-form")


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
