"""The flow over two small stages that stand in for the real ones, on a real Prefect server."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from dvc.repo import Repo
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State, TaskRun

from eagleeye.errors import BudgetError
from flows import search as module
from flows.prefect_context import TRANSIENT
from flows.search import search
from flows.walk import run_stage
from tasks.params import Params
from tasks.run.context import Context
from tasks.run.shared import Shared, share

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures("prefect_server")


def double(_shared: Shared, number: int) -> int:
    if number < 0:
        raise BudgetError("a number is below 0:\nuse larger ones")
    return 2 * number


def mapped(params: Params, context: Context, work: Callable[[Shared, int], int], items: Sequence[int]) -> list[int]:
    kept: dict[int, int] = {}
    rows = list(context.map(work, items, share(params, "key"), keep=kept.__setitem__, batch=2, workers=1))
    assert kept == {item: work(share(params, "key"), item) for item in items}
    return rows


def first(params: Params, context: Context) -> None:
    numbers = list(range(params.strategies.count))
    with context.progress("doubling", len(numbers), "numbers") as advance:
        doubled = []
        for row in context.map(double, numbers, share(params, "key"), keep=lambda *_: None, batch=3, workers=2):
            doubled.append(row)
            advance()
    doubled.sort()
    Path("first.txt").write_text(json.dumps(doubled))


def second(params: Params, context: Context) -> None:
    context.table("table", ["a"], [["1"]])
    Path("second.txt").write_text(Path("first.txt").read_text() + str(params.rank.top_k))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    Repo.init(".").close()
    shutil.copy(ROOT / "params.yaml", tmp_path)
    stages = {
        "second": {"cmd": "false", "deps": ["first.txt"], "params": ["rank"], "outs": ["second.txt"]},
        "first": {"cmd": "false", "deps": ["params.yaml"], "params": ["strategies"], "outs": ["first.txt"]},
    }
    stages["first"]["deps"] = ["source"]
    Path("source").touch()
    Path("dvc.yaml").write_text(json.dumps({"stages": stages}))
    put_stage(monkeypatch, "first", first)
    put_stage(monkeypatch, "second", second)
    monkeypatch.setattr(module, "publish", lambda *_: None)
    monkeypatch.setattr(module, "outcome", lambda *_: ("the ranking", "the result"))
    monkeypatch.setattr(module, "headline", lambda *_: "done")
    monkeypatch.setattr(module, "LAST", "second")
    monkeypatch.setattr(run_stage, "retry_delay_seconds", [0])
    monkeypatch.setattr("flows.prefect_context.DELAYS", [0, 0, 0])
    return tmp_path


def put_stage(monkeypatch: pytest.MonkeyPatch, name: str, body: Callable[[Params, Context], None]) -> None:
    stage = ModuleType(f"tasks.stages.{name}")
    stage.run = body
    monkeypatch.setitem(sys.modules, stage.__name__, stage)


def run(**overrides: object) -> State[Any]:
    changes = {key.replace("__", "."): value for key, value in overrides.items()}
    return search(overrides=changes, return_state=True)


def last_run() -> tuple[FlowRun, list[TaskRun]]:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)[0]
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run.id]))
        return flow_run, client.read_task_runs(flow_run_filter=wanted)


def test_the_flow_runs_every_stage_and_leaves_dvc_clean(project: Path) -> None:
    state = run(strategies__count=5)
    assert (state.is_completed(), state.message) == (True, "done")
    assert Path("second.txt").read_text() == "[0, 2, 4, 6, 8]1"
    with Repo(".") as repo:
        assert not repo.status()


def test_the_flow_ends_with_the_ranking_and_the_result_or_with_the_reason(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(strategies__count=5)
    assert caplog.messages[-3:] == ["the ranking", "the result", "Finished in state Completed('done')"]
    run(strategies__count=0)
    told, finished = caplog.messages[-2:]
    assert told.startswith("search failed: params.yaml: strategies.count is 0: ")
    assert told.endswith("\nOnce that is mended, run it again: what is done is kept.")
    assert finished.startswith("Finished in state Failed('params.yaml: strategies.count is 0")


def test_overrides_are_recorded_and_rerun_what_depends_on_them(project: Path) -> None:
    run(strategies__count=5)
    assert "  count: 5\n" in Path("params.yaml").read_text()
    lock = Path("dvc.lock").read_text()
    assert "count: 5" in lock
    ran: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        put_stage(patch, "first", lambda *_: ran.append("first"))
        assert run(rank__top_k=2).is_completed()
    assert ran == []
    assert Path("second.txt").read_text().endswith("2")


def test_runs_have_names_that_people_can_read(project: Path) -> None:
    run(strategies__count=4)
    flow_run, task_runs = last_run()
    assert flow_run.name.startswith("cifar_resnet20, 4 candidates, ")
    assert {"first", "second", "first 1 of 2", "first 2 of 2"} <= {task_run.name for task_run in task_runs}


def test_progress_is_an_artifact_that_ends_at_100(project: Path) -> None:
    run(strategies__count=6)
    with get_client(sync_client=True) as client:
        from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=["doubling"]))
        found = client.read_artifacts(artifact_filter=wanted)
    assert {(artifact.type, float(artifact.data)) for artifact in found} == {("progress", 100.0)}


def test_a_mistake_fails_at_once_and_says_what_to_do(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def refuse(params: Params, context: Context) -> None:
        calls.append(1)
        mapped(params, context, double, [1, -1])

    put_stage(monkeypatch, "first", refuse)
    state = run()
    assert (state.is_failed(), state.message) == (True, "first: a number is below 0: use larger ones")
    assert len(calls) == 1


@pytest.mark.parametrize("overrides", [{"strategies.cuont": 5}, {"strategies.count": 0}])
def test_a_wrong_override_fails_and_changes_nothing(project: Path, overrides: dict[str, object]) -> None:
    before = Path("params.yaml").read_text()
    state = search(overrides=overrides, return_state=True)
    assert state.is_failed()
    assert state.message is not None and state.message.startswith("params.yaml: strategies.c")
    assert Path("params.yaml").read_text() == before
    assert not Path("dvc.lock").exists()


@pytest.mark.parametrize("fault", TRANSIENT)
def test_what_may_pass_is_tried_again(project: Path, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]) -> None:
    attempts, kept = [], []

    def shaky(_shared: Shared, item: int) -> int:
        attempts.append(item)
        if attempts == [1, 2]:
            raise fault("not now")
        return item

    def body(params: Params, context: Context) -> None:
        shared = share(params, "key")
        rows = context.map(shaky, [1, 2, 3, 4], shared, keep=lambda *row: kept.append(row), batch=3)
        Path("first.txt").write_text(json.dumps(list(rows)))

    put_stage(monkeypatch, "first", body)
    assert run().is_completed()
    # What the first attempt had kept is not done again, and every row counts once.
    assert attempts == [1, 2, 2, 3, 4]
    assert kept == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert json.loads(Path("first.txt").read_text()) == [1, 2, 3, 4]


def test_a_defect_is_not_tried_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []

    def body(params: Params, context: Context) -> None:
        attempts.append(1)
        raise TypeError("a defect")

    put_stage(monkeypatch, "first", body)
    state = run()
    assert state.is_failed()
    assert "a defect" in str(state.message)
    assert len(attempts) == 1
