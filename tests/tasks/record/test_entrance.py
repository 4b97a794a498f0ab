"""The ways to a search's page."""

import mlflow
import pytest

from tasks.params import Tracking
from tasks.record.entrance import address
from tests.tasks.record.recorded import CANDIDATES, Store, candidate

PAGE = "http://127.0.0.1:5000"


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MLflow puts artefacts below the working directory
    return Store(tmp_path, "eagleeye")


def _address(store: Store) -> str:
    return address(Tracking(uri=store.uri, experiment=store.experiment), PAGE)


def _tags(store: Store) -> dict[str, str]:
    return mlflow.MlflowClient(store.uri).get_experiment_by_name(store.experiment).tags


def test_without_a_search_the_address_is_the_page_of_runs(store):
    assert _address(store) == f"{PAGE}/#/experiments/1/runs?workflowType=machine_learning"


def test_the_address_leads_to_the_search_that_was_shown_last(store):
    for key, name in (("5e" * 32, "first"), ("0" * 64, "second"), ("5e" * 32, "first")):
        with store.search(key, name) as show:
            show(candidates=[candidate(0, 0.4 + len(name) / 100)])
            run = f"/runs/{store.run_id(name)}?workflowType=machine_learning"
            assert _address(store) == f"{PAGE}/#/experiments/1{run}"  # while it is at work, too
        assert _tags(store)["mlflow.note.content"].startswith(f"Last search: [{name}](#/experiments/1{run})")


def test_where_that_search_was_deleted_the_address_is_the_list_of_searches(store):
    with store.search() as show:
        show(candidates=CANDIDATES[:1])
    mlflow.MlflowClient(store.uri).delete_run(store.run_id("resnet"))
    searches = "/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=searches"
    assert _address(store) == PAGE + searches
    assert "mlflow.sharedViewState.searches" in _tags(store)


def test_an_experiment_that_somebody_has_described_keeps_their_words(store):
    with store.search() as show:
        show(candidates=CANDIDATES[:1])
    mlflow.MlflowClient(store.uri).set_experiment_tag("1", "mlflow.note.content", "mine")
    with store.search():
        pass
    assert _tags(store)["mlflow.note.content"] == "mine"
