"""MLflow told after the fact: what artefacts say is what the run that made them had recorded."""

import shutil
from pathlib import Path

import pytest

from tasks.record import command as record
from tasks.settings import override, read_params
from tests.tasks.conftest import Recorder, Search
from tests.tasks.recorded import picture

# Times are no part of the artefacts, and the order of scoring is not.
OF_THE_RUN = ("seconds", "candidates/accuracy", "candidates/best_accuracy")


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
    monkeypatch.setattr(record, "stage_names", lambda _: list(stages))
    monkeypatch.setattr(record, "current_stages", lambda _: current)
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
    record.run(read_params(Path("params.yaml")), context)
    assert context.warned == []
    assert context.said == ["record: evaluate, rank, finetune, report recorded, 0 records wait"]
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
    record.run(read_params(Path("params.yaml")), Recorder())
    assert picture(uri) == before
    assert sent == []


def test_stale_artefacts_are_not_recorded_under_settings_they_do_not_belong_to(
    search: Search, up_to_date: list[str]
) -> None:
    uri, context = _elsewhere(), Recorder()
    del up_to_date[4:]
    record.run(read_params(Path("params.yaml")), context)
    assert "rank, finetune, report: not up to date" in context.warned[0]
    names = picture(uri)["runs"].keys()
    assert len(names) == 1 + 7  # the search and its candidates
    assert not any(name.startswith("fine-tune") for name in names)


def test_one_restored_stage_is_told_alone(search: Search) -> None:
    uri = _elsewhere()
    for stage in ("subset", "rank"):
        record.tell(stage, read_params(Path("params.yaml")), Recorder())
    (name,) = picture(uri)["runs"]
    assert picture(uri)["runs"][name]["tags"]["eagleeye.winner"]


def test_what_waits_can_be_dropped(search: Search) -> None:
    override(Path("params.yaml"), {"tracking.uri": "http://127.0.0.1:9"})
    context = Recorder()
    record.tell("rank", read_params(Path("params.yaml")), context)
    assert "3 records wait" in context.warned[0]
    shutil.copy("params.yaml", "kept.yaml")
    record.drop(context)
    assert context.said[-1].startswith("record: 3 waiting records dropped")
    uri = _elsewhere()
    record.deliver_waiting(read_params(Path("params.yaml")), context)
    assert not Path(uri.removeprefix("sqlite:///")).exists()
