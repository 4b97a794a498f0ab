"""Fine-tuning one more candidate: the same network as the stage's, and nothing of the pipeline touched."""

import json
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
import torch

import eagleeye
from eagleeye.errors import ConfigError
from tasks import artifacts
from tasks.params import Params
from tasks.work import extra
from tests.tasks.conftest import Recorder, Search


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The export takes seconds, and is not what these tests are about."""
    monkeypatch.setattr("tasks.stages.finetune.export_onnx", lambda *_: 0.0)
    monkeypatch.setattr("tasks.stages.finetune.export_program", lambda *_: 0.0)


@pytest.fixture
def params(search: Search) -> Params:
    """The settings with a store of their own: MLflow keeps stores open by their address."""
    tracking = search.params.tracking.model_copy(update={"uri": f"sqlite:///{search.folder}/extra.db"})
    return search.params.model_copy(update={"tracking": tracking})


def test_the_stages_own_settings_give_the_stages_own_network(search: Search, params: Params) -> None:
    before = {path: path.read_bytes() for path in Path("artifacts").rglob("*") if path.is_file()}
    (row,) = pd.read_parquet(artifacts.RESULTS).query("role == 'pruned'").to_dict("records")
    told = extra.run(params, Recorder(), row["id"], {})
    folder = artifacts.EXTRA / row["id"]
    assert json.loads((folder / "result.json").read_text()) == told
    assert {name: told[name] for name in ("test_accuracy", "test_loss", "macs", "params", "best_epoch", "rank")} == {
        name: row[name] for name in ("test_accuracy", "test_loss", "macs", "params", "best_epoch", "rank")
    }
    mine, wanted = (eagleeye.load(path).state_dict() for path in (told["file"], row["file"]))
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in mine.items())
    assert {path: path.read_bytes() for path in before} == before
    assert not list((artifacts.CACHE / "training" / "extra").glob("*.pt"))


def test_other_settings_are_used_and_kept_with_the_result(search: Search, params: Params) -> None:
    told = extra.run(params, Recorder(), "even", {"epochs": 1, "lr": 0.002, "seed": 9})
    # Of a candidate that is out of the race there is none.
    ranking = pd.read_parquet(artifacts.RANKING).set_index("id")
    assert told["rank"] == (None if pd.isna(ranking["rank"]["even"]) else ranking["rank"]["even"])
    assert len(told["history"]) == 1
    assert told["history"][0]["lr"] == pytest.approx(0.002)
    assert (told["finetune"]["epochs"], told["finetune"]["seed"]) == (1, 9)
    assert eagleeye.read_metadata(told["file"])["id"] == "even"
    store = sqlite3.connect(search.folder / "extra.db")
    query = "SELECT name FROM runs JOIN tags USING (run_uuid) WHERE key = 'eagleeye.study' AND value = 'extra'"
    assert store.execute(query).fetchall() == [(f"extra even, seed 9 · {told['test_accuracy']:.4f}",)]


def test_mistakes_are_named_in_one_line(params: Params) -> None:
    with pytest.raises(ConfigError, match=r"^candidate 's0100' is not in the ranking, which holds 7: even, s0000, s00"):
        extra.run(params, Recorder(), "s0100", {})
    with pytest.raises(ConfigError, match=r"^the run's settings: finetune.epochs is 0: must be greater than"):
        extra.run(params, Recorder(), "even", {"epochs": 0})
