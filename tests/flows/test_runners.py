"""Which runner the settings mean, and what is said where it cannot be had."""

import importlib.util
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prefect import flow

from eagleeye.errors import BudgetError, ConfigError
from flows import prefect_context
from flows.prefect_context import FlowContext
from flows.runners import Ray
from tasks.run.shared import Shared
from tasks.settings import override, read_params
from tests.flows import works
from tests.flows.project import ROOT


def test_a_missing_ray_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'eagleeye-pruning\[ray\]', or set it to local"):
        Ray(None)


def test_an_address_without_ray_is_refused(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    with pytest.raises(ConfigError, match="runner: address is head:6379: engine local has none"):
        override(tmp_path / "params.yaml", {"runner.address": "head:6379"})
    assert override(tmp_path / "params.yaml", {"runner.engine": "ray", "runner.address": "head:6379"})
    assert read_params(tmp_path / "params.yaml").runner.address == "head:6379"


@pytest.fixture
def on_ray(prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Maps work over numbers by a Ray cluster that is started here; gives what was kept, or raises."""
    # Not imported here: Ray reads its settings at that moment.
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs Ray")
    monkeypatch.setattr(prefect_context, "DELAYS", [0, 0, 0])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    params = read_params(ROOT / "params.yaml")
    params = params.model_copy(update={"runner": params.runner.model_copy(update={"engine": "ray"})})

    @flow
    def mapped(work: Callable[[Shared, int], int], items: int, wanted: int, size: int = 2) -> list[tuple[int, int]]:
        kept: list[tuple[int, int]] = []
        with FlowContext("numbers") as context:
            shared = Shared(params, str(tmp_path / "died"), (), "cpu")
            rows = context.map(work, range(items), shared, keep=lambda *row: kept.append(row), batch=size)
            for _ in range(wanted):
                next(rows)
            rows.close()
        return sorted(kept)

    return mapped


@pytest.mark.slow
def test_a_batch_whose_worker_dies_is_done_by_another_and_counts_once(on_ray: Callable[..., object]) -> None:
    assert on_ray(works.square_but_die_once, 9, 9) == [(item, item**2) for item in range(9)]


@pytest.mark.slow
def test_what_the_user_has_to_mend_comes_back_as_it_was_and_at_once(on_ray: Callable[..., object]) -> None:
    with pytest.raises(BudgetError, match=r"^a number is below 0:\nuse larger ones$"):
        on_ray(works.refuse, 9, 9)


@pytest.mark.slow
def test_work_elsewhere_is_cancelled(on_ray: Callable[..., object]) -> None:
    begun = time.monotonic()
    assert on_ray(works.take_long, 2, 1, size=1) == [(0, 0)]
    assert time.monotonic() - begun < 60


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cluster_gives_the_same_scores_even_if_a_node_dies() -> None:
    pytest.importorskip("ray")
    if subprocess.run(["unshare", "--map-root-user", "--net", "--mount", "true"], check=False).returncode:
        pytest.skip("needs a network namespace, which this machine does not allow")
    command = [sys.executable, "-m", "benchmarks.cluster", "--candidates", "30", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout[done.stdout.rindex("\n{") :])
    assert set(found) == {"local, 1 thread", "2 nodes, one killed"}
    assert all(run["same"] for run in found.values())
