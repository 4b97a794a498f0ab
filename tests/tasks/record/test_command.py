"""MLflow told after the fact: what artefacts say is what the run that made them had recorded."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tasks.artifacts import CANDIDATES, SCOREBOOK, SCORES, STRATEGIES
from tasks.record import beside, command, keeper
from tasks.settings import override, read_params
from tests.tasks.conftest import Recorder, Search
from tests.tasks.record.recorded import picture

# The order of scoring is no part of the artefacts.
OF_THE_RUN = ("candidates/accuracy", "candidates/best_accuracy")


def _comparable(uri: str) -> dict:
    shown = picture(uri)
    for run in shown["runs"].values():
        # The run has shown candidates with fewer images first, artefacts know the last rung alone.
        del run["points"]
        run["figures"] = {name: value for name, value in run["figures"].items() if name not in OF_THE_RUN}
    return shown


@pytest.fixture
def up_to_date(search: Search, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The finished search; what DVC says of its stages."""
    stages = ["subset", "baseline", "strategies", "evaluate", "rank", "finetune", "report"]
    current = list(stages)
    monkeypatch.setattr(command, "stage_names", lambda _: list(stages))
    monkeypatch.setattr(command, "current_stages", lambda _: current)
    return current


def _elsewhere() -> str:
    return _store("restored.db")


def _store(name: str) -> str:
    # MLflow keeps a store in memory by its URI: a relative one would be that of another test.
    uri = f"sqlite:///{Path.cwd()}/{name}"
    override(Path("params.yaml"), {"tracking.uri": uri})
    return uri


def test_restored_artefacts_are_recorded_as_the_run_was(search: Search, up_to_date: list[str]) -> None:
    uri, context = _elsewhere(), Recorder()
    command.run(read_params(Path("params.yaml")), context)
    assert context.warned == []
    assert context.said == ["record: evaluate, rank, finetune, report recorded"]
    restored, ran = _comparable(uri), _comparable(f"sqlite:///{Path.cwd()}/mlflow.db")
    assert restored["runs"].keys() == ran["runs"].keys()
    for name, run in ran["runs"].items():
        assert restored["runs"][name] == run, name
    assert restored["registry"] == ran["registry"]


def test_nothing_new_is_nothing_written(search: Search, up_to_date: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = picture(uri := _store("mlflow.db"))
    sent: list[str] = []
    for name in ("log_artifact", "log_artifacts", "create_run", "create_logged_model", "create_model_version"):
        monkeypatch.setattr(f"mlflow.MlflowClient.{name}", lambda *_, name=name, **__: sent.append(name))
    command.run(read_params(Path("params.yaml")), Recorder())
    assert picture(uri) == before
    assert sent == []


def test_stale_artefacts_are_not_recorded_under_settings_they_do_not_belong_to(
    search: Search, up_to_date: list[str]
) -> None:
    uri, context = _elsewhere(), Recorder()
    del up_to_date[4:]
    command.run(read_params(Path("params.yaml")), context)
    assert "rank, finetune, report: not up to date" in context.warned[0]
    names = picture(uri)["runs"].keys()
    assert len(names) == 1 + 7  # the search and its candidates
    assert not any(name.startswith("fine-tune") for name in names)


def test_one_restored_stage_is_told_alone(search: Search) -> None:
    uri = _elsewhere()
    for stage in ("subset", "rank"):
        beside.tell(stage, read_params(Path("params.yaml")), Recorder())
    (parent,) = [run for run in picture(uri)["runs"].values() if run["parent"] is None]
    assert parent["tags"]["eagleeye.winner"]
    assert (parent["figures"].keys() & {"final_accuracy", "latency_ms"}, parent["outputs"]) == (set(), 0)


def test_what_ran_while_mlflow_was_away_is_recorded_as_if_it_had_been_there(
    search: Search, up_to_date: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CONTACT", "GRACE"):
        monkeypatch.setattr(keeper, name, 0.2)
    override(Path("params.yaml"), {"tracking.uri": "http://127.0.0.1:9"})
    command.run(read_params(Path("params.yaml")), context := Recorder())
    assert "Connection refused; nothing is lost" in context.warned[0]
    assert context.said == ["record: 1 kept until MLflow answers"]
    uri = _elsewhere()
    command.run(read_params(Path("params.yaml")), context := Recorder())
    assert context.warned == []
    assert _comparable(uri)["runs"] == _comparable(f"sqlite:///{Path.cwd()}/mlflow.db")["runs"]


def test_a_search_that_ran_while_mlflow_was_away_is_shown_when_all_of_it_is_gone(
    search: Search, up_to_date: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CONTACT", "GRACE"):
        monkeypatch.setattr(keeper, name, 0.2)
    ran = _comparable(f"sqlite:///{Path.cwd()}/mlflow.db")
    override(Path("params.yaml"), {"tracking.uri": "http://127.0.0.1:9"})
    for stage in up_to_date:
        beside.tell(stage, read_params(Path("params.yaml")), Recorder())
    shutil.rmtree("artifacts")
    shutil.rmtree("mlruns")
    SCOREBOOK.unlink()
    up_to_date.clear()
    uri = _elsewhere()
    for said in ("nothing recorded, and 4 that MLflow had missed", "nothing recorded"):
        command.run(read_params(Path("params.yaml")), context := Recorder())
        assert context.said == [f"record: {said}"]
        assert _comparable(uri) == ran


def test_the_candidates_of_a_killed_search_are_recorded_as_far_as_they_are_scored(
    search: Search, up_to_date: list[str]
) -> None:
    uri, context = _elsewhere(), Recorder()
    del up_to_date[3:]
    for path in (CANDIDATES, SCORES):  # which DVC deletes before a stage runs
        path.unlink()
    command.run(read_params(Path("params.yaml")), context)
    assert "evaluate, rank, finetune, report: not up to date" in context.warned[0]
    assert context.said == ["record: what is scored so far recorded"]
    ran = _comparable(f"sqlite:///{Path.cwd()}/mlflow.db")["runs"]
    runs = _comparable(uri)["runs"]
    (name,) = [name for name, run in runs.items() if run["parent"] is None]
    assert runs.pop(name)["status"] == "KILLED"
    figures = {run["tags"]["eagleeye.candidate"]: run["figures"] for run in runs.values()}
    assert set(figures) == set(pd.read_parquet(STRATEGIES)["id"])
    for run in ran.values():
        if candidate := run["tags"].get("eagleeye.candidate"):
            run["figures"].pop("final_accuracy", None)
            run["figures"].pop("final_loss", None)
            assert figures[candidate] == run["figures"]
