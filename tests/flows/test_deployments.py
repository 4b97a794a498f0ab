"""The three deployments, as the Prefect server knows them, and what their parameters do."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dvc.repo import Repo
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.flows import load_flow_from_entrypoint
from ruamel.yaml import YAML

from flows import correlation as study_module
from flows import finetune as finetune_module
from flows import search as search_module
from flows.__main__ import FLOWS, deployments
from flows.correlation import correlation
from flows.finetune import finetune, run_extra
from flows.search import search
from tasks.params import Params
from tasks.run.context import Context
from tasks.run.walk import changes_of
from tasks.settings import read_params
from tests.flows.test_search import ROOT, put_stage

SETTINGS = Path("params.yaml")
NAMES = ["search", "finetune", "correlation"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> list[str]:
    """A folder with two stages and a study that note their names when they run, and one that watches a file."""
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    Repo.init(".").close()
    shutil.copy(ROOT / SETTINGS, tmp_path)
    study = {"cmd": "false", "deps": ["rank.txt"], "params": ["correlation"], "outs": ["correlation.txt"]}
    stages = {
        "watch": {"cmd": "false", "always_changed": True, "outs": [{"watched.txt": {"persist": True}}]},
        "rank": {"cmd": "false", "deps": ["watched.txt"], "params": ["strategies"], "outs": ["rank.txt"]},
        "report": {"cmd": "false", "deps": ["rank.txt"], "params": ["rank", "finetune"], "outs": ["report.txt"]},
        "study": {"foreach": "${studies}", "do": study},
    }
    Path("dvc.yaml").write_text(json.dumps({"stages": stages}))
    ran: list[str] = []
    Path("images.txt").write_text("as they were")
    put_stage(monkeypatch, "watch", lambda *_: shutil.copy("images.txt", "watched.txt"))
    for name in ("rank", "report", "correlation"):
        put_stage(monkeypatch, name, noting(name, ran))
    monkeypatch.setattr(search_module, "outcome", lambda *_: ())
    for module in (search_module, study_module):
        monkeypatch.setattr(module, "publish", lambda *_: None)
        monkeypatch.setattr(module, "headline", lambda *_: "done")
    return ran


def noting(name: str, ran: list[str]) -> Callable[[Params, Context], None]:
    def body(_params: Params, _context: Context) -> None:
        ran.append(name)
        Path(f"{name}.txt").write_text(f"{name} {len(ran)}")

    return body


def refused(flow: Flow[..., Any], **parameters: Any) -> str:
    state: State[Any] = flow(**parameters, return_state=True)
    assert state.is_failed()
    assert state.message is not None
    assert "\n" not in state.message
    return state.message


@pytest.mark.usefixtures("prefect_server")
def test_the_server_knows_every_parameter_with_title_type_and_meaning() -> None:
    assert [deployment.name for deployment in deployments()] == NAMES
    for deployment in deployments():
        deployment.apply()
    with get_client(sync_client=True) as client:
        found = [client.read_deployment_by_name(f"eagleeye/{name}") for name in NAMES]
    for deployment, flow in zip(found, FLOWS, strict=True):
        schema = deployment.parameter_openapi_schema
        assert list(schema["properties"]) == list(flow.fn.__annotations__)[:-1]  # without `return`
        for name, each in schema["properties"].items():
            assert each["title"] == name
            assert len(each["description"]) > 5
            assert "type" in each or all("type" in kind for kind in each["anyOf"])
        assert deployment.description == FLOWS[flow]
        assert deployment.global_concurrency_limit.limit == 1
        assert load_flow_from_entrypoint(deployment.entrypoint).fn is flow.fn
    assert [deployment.parameter_openapi_schema.get("required", []) for deployment in found] == [[], ["candidate"], []]


def test_the_file_for_work_pools_names_the_same_deployments() -> None:
    listed = YAML(typ="safe").load(ROOT / "prefect.yaml")["deployments"]
    assert [entry["name"] for entry in listed] == NAMES
    for entry, flow in zip(listed, FLOWS, strict=True):
        assert flow.name == "eagleeye"
        assert load_flow_from_entrypoint(entry["entrypoint"]).fn is flow.fn
        assert entry["description"] == FLOWS[flow]
        assert entry["work_pool"] == {"name": "local", "job_variables": {"stream_output": False}}
        assert entry["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}


def test_parameters_are_written_into_the_settings(project: list[str]) -> None:
    before = read_params(SETTINGS)
    given = {"macs": 0.25, "parameters": 0.4, "candidates": 7, "seed": 3, "top_k": 2, "epochs": 4}
    assert search(**given, overrides={"strategies.max_rate": 0.9}, return_state=True).is_completed()
    found = read_params(SETTINGS)
    assert (found.strategies.budget.macs, found.strategies.budget.params, found.strategies.budget.latency) == (
        0.25,
        0.4,
        None,
    )
    wanted = found.strategies
    assert (wanted.count, wanted.seed, found.rank.top_k, found.finetune.epochs, wanted.max_rate) == (7, 3, 2, 4, 0.9)
    assert search(return_state=True).is_completed()
    assert read_params(SETTINGS) == found != before


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"candidates": 5, "overrides": {"strategies.count": 6}},
            "overrides: strategies.count is also given by the par",
        ),
        ({"overrides": {"strategies.cuont": 6}}, "strategies.cuont is unknown; did you mean strategies.count?"),
        ({"top_k": 500}, "rank.top_k is 500: must not exceed strategies.count"),
        (
            {"overrides": {"data.source": "os:system"}},
            "data.source is 'os:system': a function is taken from params.yaml",
        ),
        ({"overrides": {"tracking.uri": "http://elsewhere"}}, "an address is taken from params.yaml alone"),
    ],
)
def test_wrong_values_are_refused_in_one_line_and_change_nothing(
    project: list[str], parameters: dict[str, Any], message: str
) -> None:
    before = SETTINGS.read_bytes()
    assert message in refused(search, **parameters)
    assert SETTINGS.read_bytes() == before
    assert project == []


def test_the_study_runs_where_it_is_asked_for_and_never_with_a_search(project: list[str]) -> None:
    assert search(return_state=True).is_completed()
    assert project == ["rank", "report"]
    assert correlation(candidates=5, seeds=3, epochs=1, return_state=True).is_completed()
    assert project == ["rank", "report", "correlation"]
    found = read_params(SETTINGS)
    assert found.studies == ("correlation",)
    assert (found.correlation.candidates, found.correlation.seeds, found.correlation.training.epochs) == (5, 3, 1)
    with Repo(".") as repo:
        assert repo.status() == {"watch": ["always changed"]}
    # Another search makes the study out of date; only who asks for it pays for it.
    assert search(candidates=9, return_state=True).is_completed()
    assert project[3:] == ["rank", "report"]


def test_the_study_needs_no_more_of_the_search_than_the_ranking(project: list[str]) -> None:
    assert correlation(return_state=True).is_completed()
    assert project == ["rank", "correlation"]


def test_any_candidate_is_fine_tuned_apart_from_the_pipeline(
    project: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []

    def tuned(_params: Params, _context: Context, candidate: str, changes: dict[str, Any]) -> dict[str, Any]:
        calls.append((candidate, changes))
        return {"test_accuracy": 0.5, "file": "there", "history": [], "finetune": {"epochs": 3}}

    monkeypatch.setattr(finetune_module.extra, "run", tuned)
    out_of_date = "the ranking is not up to date with params.yaml, images, checkpoint and own code: run eagleeye/search"
    assert out_of_date in refused(finetune, candidate="s0001")
    assert search(return_state=True).is_completed()
    before = SETTINGS.read_bytes()
    state = finetune(candidate="s0001", epochs=3, learning_rate=0.5, return_state=True)
    assert (state.is_completed(), state.message) == (True, "s0001: 50.00% on the test set, saved as there")
    assert calls == [("s0001", {"epochs": 3, "lr": 0.5})]
    assert SETTINGS.read_bytes() == before
    assert project == ["rank", "report"]
    assert not any(changes.inputs or changes.results for changes in changes_of(Path()).values())
    Path("images.txt").write_text("edited")
    assert out_of_date in refused(finetune, candidate="s0001")
    assert len(calls) == 1


def test_an_unknown_candidate_is_refused_at_once(project: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_extra, "retry_delay_seconds", [0])
    monkeypatch.setattr("tasks.work.extra.read_table", lambda _: pd.DataFrame({"id": ["s0000", "s0001", "even"]}))
    assert search(return_state=True).is_completed()
    assert refused(finetune, candidate="s0009") == (
        "candidate 's0009' is not in the ranking, which holds 3: even, s0000, s0001"
    )
