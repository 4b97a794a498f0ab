import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from eagleeye.task.classification import SCORERS
from tasks.record.shown import Report, Tuning, Winner
from tasks.record.texts import CLASSES
from tests.tasks.record.recorded import (
    BEST_SO_FAR,
    CANDIDATES,
    KEY,
    Store,
    assert_recorded_once,
    candidate,
    onnx_file,
    upload,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracking")
    before = Path.cwd()
    os.chdir(folder)  # MLflow puts artefacts below the working directory
    yield folder
    os.chdir(before)


@pytest.fixture
def store(folder, request):
    return Store(folder, request.node.name)


def test_a_run_per_candidate_below_one_for_the_search(store):
    with store.search() as show:
        show(candidates=CANDIDATES[:1])
        assert store.status("resnet") == "RUNNING"
        show(candidates=CANDIDATES[1:])
    assert_recorded_once(store)
    assert store.status("resnet") == "FINISHED"
    ((start, end),) = store.rows("SELECT start_time, end_time FROM runs WHERE run_uuid = ?", store.run_id("s0000"))
    assert end - start >= 2000  # the two seconds that its evaluation took


def test_the_same_again_changes_nothing(store):
    for batches in ([CANDIDATES[:2], CANDIDATES], [CANDIDATES], [[]]):
        with store.search() as show:
            for batch in batches:
                show(candidates=batch)
    assert_recorded_once(store)


def test_another_search_is_another_parent_with_its_own_candidates(store):
    for key, name in ((KEY, "resnet"), ("0" * 64, "other")):
        with store.search(key, name) as show:
            show(candidates=CANDIDATES[:1] if name == "resnet" else [candidate(0, 0.33)])
    assert set(store.runs()) == {"resnet", "s0000 · 0.4100", "other", "s0000 · 0.3300"}


class Killed(BaseException):
    """Stands for the end of the process."""


CALLS = ("create_run", "log_batch", "set_terminated", "set_tag", "update_run", "set_experiment_tag")


def _die_before(call: int, monkeypatch) -> None:
    """From the given call on, nothing reaches the store any more."""
    made = iter(range(10_000))

    def dying(real):
        def wrapper(*args, **kwargs):
            if next(made) >= call:
                raise Killed
            return real(*args, **kwargs)

        return wrapper

    for name in CALLS:
        monkeypatch.setattr(mlflow.MlflowClient, name, dying(getattr(mlflow.MlflowClient, name)))


@pytest.mark.parametrize("call", range(24))
def test_killed_between_any_two_writes_a_search_is_recorded_once(store, call, monkeypatch):
    with monkeypatch.context() as patch:
        _die_before(call, patch)
        try:
            with store.search() as show:
                show(candidates=CANDIDATES[:2])
                show(candidates=CANDIDATES[2:])
            survived = True
        except Killed:
            survived = False
    assert survived == (call >= 23), "the calls of a whole search have changed: adapt the range"
    with store.search() as show:
        show(candidates=CANDIDATES)
    assert_recorded_once(store)
    ((views,),) = store.rows(
        "SELECT count(*) FROM experiment_tags t JOIN experiments e USING (experiment_id)"
        " WHERE e.name = ? AND t.key LIKE 'mlflow.sharedViewState.%'",
        store.experiment,
    )
    assert views == 3


WRITER = """
import sys
from tests.tasks.record.recorded import Store, candidate
from pathlib import Path
with Store(Path(sys.argv[1]), sys.argv[2]).search() as show:
    for row in range(200):
        show(candidates=[candidate(row, row / 1000)])
        print(row, flush=True)
"""


@pytest.mark.slow
def test_sigkill_loses_and_repeats_nocandidate(store):
    command = [sys.executable, "-c", WRITER, str(store.folder), store.experiment]
    for lines in (3, 11):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        for _ in range(lines):
            writer.stdout.readline()
        time.sleep(0.013 * lines)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert store.status("resnet") == "RUNNING"
    with store.search() as show:
        show(candidates=[candidate(row, row / 1000) for row in range(40)])
    names = {f"s{row:04d}" for row in range(max(40, len(store.runs()) - 1))}
    assert {name.split(" · ")[0] for name in store.runs()} - {"resnet at 50% MACs"} == names
    assert store.curve("resnet", "candidates/accuracy") == [row / 1000 for row in range(len(names))]


def test_a_candidate_created_twice_by_a_repeated_request_is_one_again(store):
    with store.search() as show:
        show(candidates=CANDIDATES[:2])
    client = mlflow.MlflowClient(store.uri)
    experiment = client.get_experiment_by_name(store.experiment).experiment_id
    tags = {"mlflow.parentRunId": store.run_id("resnet"), "eagleeye.candidate": "s0000"}
    client.create_run(experiment, start_time=1, tags=tags, run_name="twin")
    with store.search() as show:
        show(candidates=CANDIDATES)
    assert_recorded_once(store)


def test_many_groups_and_odd_names_are_recorded(store):
    rates = {f"block{row}?·conv": row / 1000 for row in range(250)}
    with store.search() as show:
        show(candidates=[candidate(0, 0.5, rates=rates)])
    params = store.params("s0000")
    assert len(params) == 251
    assert params["rate/block249?·conv".replace("?", "_").replace("·", "_")] == "0.2490"


def test_unmeasured_and_undefined_figures(store):
    bare = candidate(0, 0.5, vanilla={}, seconds=None)
    with store.search() as show:
        show(candidates=[bare, candidate(1, 0.5, vanilla={"vanilla_loss": float("nan")})])
    assert set(store.figures("s0000")) == {*SCORERS, "macs", "params", "macs_fraction", "params_fraction"}
    query = "SELECT is_nan FROM metrics WHERE key = 'vanilla_loss' AND run_uuid = ?"
    assert store.rows(query, store.run_id("s0001")) == [(1,)]


def test_a_search_that_ranks_by_loss_shows_losses_the_smallest_best(store, tmp_path):
    terms = replace(CLASSES, ranked_by="loss")
    for part in (CANDIDATES[:2], CANDIDATES):  # killed after two, then all again
        with store.search(terms=terms) as show:
            show(settings=SETTINGS, candidates=part)
    _ranking(tmp_path / "ranking.parquet", winner="s0001")
    with store.search(terms=terms) as show:  # another stage
        show(ranking=upload(tmp_path / "ranking.parquet"))
    names = {name for name in store.runs() if name[0] in "se"}
    assert names == {"s0000 · 1.5900", "s0001 · 1.3800 · winner", "s0002 · 1.4500", "even · 1.3000"}
    np.testing.assert_allclose(store.curve("resnet", "candidates/loss"), [1.59, 1.38, 1.45])
    np.testing.assert_allclose(store.curve("resnet", "candidates/best_loss"), [1.59, 1.38, 1.38])
    assert not any("accuracy" in name for name, _, _ in store.points("resnet") if name.startswith("candidates/"))


SETTINGS = {"model": {"name": "cifar_resnet20"}, "data": {"source": "digits"}, "finetune": {"epochs": 2, "lr": 0.1}}


def test_all_settings_are_on_the_parent_and_a_later_change_is_told(store):
    with store.search() as show:
        show(settings=SETTINGS)
    recorded = {
        "model.name": "cifar_resnet20",
        "data.source": "digits",
        "finetune.epochs": "2",
        "finetune.lr": "0.1",
    }
    assert store.params("resnet") == recorded
    assert "eagleeye.changed" not in store.tags("resnet")
    with store.search() as show:
        show(settings={**SETTINGS, "finetune": {"epochs": 3, "lr": 0.1}, "report": {"latency_repeats": 5}})
    assert store.params("resnet") == {**recorded, "report.latency_repeats": "5"}
    assert json.loads(store.tags("resnet")["eagleeye.changed"]) == {"finetune.epochs": "3"}
    assert "`finetune.epochs` = 3" in store.tags("resnet")["mlflow.note.content"]
    with store.search() as show:
        show(settings=SETTINGS)
    assert json.loads(store.tags("resnet")["eagleeye.changed"]) == {}


def test_tables_of_images_are_inputs_of_the_parent(store):
    for _ in range(2):
        with store.search() as show:
            tables = []
            for name, size in (("calibration", 7), ("sub-validation", 5)):
                columns = [{"name": "row", "type": "int64"}]
                facts = {"name": name, "digest": f"{size}" * 8, "path": f"{name}.parquet", "columns": columns}
                tables.append({**facts, "rows": size, "context": f"for {name}"})
            show(datasets=tables)
    inputs = mlflow.MlflowClient(store.uri).get_run(store.run_id("resnet")).inputs.dataset_inputs
    found = {entry.dataset.name: entry for entry in inputs}
    assert len(inputs) == len(found) == 2
    calibration = found["calibration"]
    assert json.loads(calibration.dataset.profile) == {"num_rows": 7}
    assert [(tag.key, tag.value) for tag in calibration.tags] == [("mlflow.data.context", "for calibration")]


def _ranking(path: Path, *, winner: str) -> pd.DataFrame:
    figures = [{"id": one.id, "origin": one.origin, **one.figures()} for one in CANDIDATES]
    table = pd.DataFrame(figures).drop(columns="seconds").assign(rates=[[0.1]] * 4, widths=[[3]] * 4)
    order = [winner, *[one.id for one in CANDIDATES[:3] if one.id != winner]]
    table["rank"] = table["id"].map({name: place + 1 for place, name in enumerate(order)}).astype("Int64")
    table = table.sort_values("rank")
    table.to_parquet(path)
    return table


def test_the_ranking_marks_its_winner_and_moves_the_mark(store, tmp_path):
    for winner in ("s0002", "s0001", "s0001"):
        table = _ranking(tmp_path / "ranking.parquet", winner=winner)
        with store.search() as show:
            show(candidates=CANDIDATES, ranking=upload(tmp_path / "ranking.parquet"))
        marked = {"s0001": "s0001 · 0.6200 · winner", "s0002": "s0002 · 0.5500 · winner"}[winner]
        assert [name for name in store.runs() if "winner" in name] == [marked]
        assert store.tags("resnet")["eagleeye.winner"] == winner
    shown = json.loads((store.artifacts("resnet") / "ranking.json").read_text())
    assert [row[shown["columns"].index("id")] for row in shown["data"]] == list(table["id"])
    assert "widths" not in shown["columns"]
    assert json.loads(store.tags("resnet")["mlflow.loggedArtifacts"]) == [{"path": "ranking.json", "type": "table"}]
    pd.testing.assert_frame_equal(pd.read_parquet(store.artifacts("resnet") / "ranking.parquet"), table)
    assert shown["columns"][:5] == ["rank", "id", "accuracy", "vanilla_accuracy", "macs_fraction"]


def _history(last: float) -> dict[str, list[float]]:
    return {"epoch": [1, 2], "train_loss": [1.0, 0.5], "validation_accuracy": [0.8, last]}


def test_fine_tunings_are_runs_with_curves_and_their_accuracy_reaches_candidate_and_parent(store, tmp_path):
    _ranking(tmp_path / "ranking.parquet", winner="s0001")
    with store.search() as show:
        show(candidates=CANDIDATES, ranking=upload(tmp_path / "ranking.parquet"))
    for _ in range(2):
        with store.search() as show:
            winner = Tuning("s0001", {"epochs": 2}, _history(0.9), {"final_accuracy": 0.91, "final_loss": 0.3})
            even = Tuning("even", {"epochs": 2}, _history(0.8), {"final_accuracy": 0.81, "final_loss": 0.6})
            show(tunings=[winner, even])
    name = "fine-tune s0001 · 0.9100"
    assert store.params(name) == {"candidate": "s0001", "finetune.epochs": "2"}
    assert store.curve(name, "train_loss") == [1.0, 0.5]
    assert store.curve(name, "validation_accuracy") == [0.8, 0.9]
    assert store.status(name) == "FINISHED"
    assert store.figures("s0001")["final_accuracy"] == 0.91
    assert store.figures("even")["final_accuracy"] == 0.81
    assert len(store.runs()) == 5 + 2


def test_the_fine_tunings_of_a_study_are_its_own(store, tmp_path):
    _ranking(tmp_path / "ranking.parquet", winner="s0001")
    figures = {"final_accuracy": 0.91, "accuracy": 0.62}
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "study.html").write_text("page")
    for _ in range(2):
        with store.search() as show:
            show(candidates=CANDIDATES, ranking=upload(tmp_path / "ranking.parquet"))
            tunings = [Tuning("s0001", {"seed": seed}, _history(0.9 + seed), figures, "noise") for seed in (0, 1)]
            report = Report("noise", {"spearman/accuracy": 0.5}, upload(tmp_path / "page"))
            show(tunings=tunings, reports=[report])
    assert sorted(name for name in store.runs() if name.startswith("noise")) == [
        "noise s0001, seed 0 · 0.9100",
        "noise s0001, seed 1 · 0.9100",
    ]
    assert store.tags("noise s0001, seed 0")["eagleeye.study"] == "noise"
    assert store.tags("noise s0001, seed 0")["mlflow.parentRunId"] == store.run_id("resnet")
    assert "final_accuracy" not in store.figures("s0001")
    assert not [point for point in store.points("resnet") if point[0] == "final_accuracy"]
    shown = json.loads((store.artifacts("resnet") / "noise.json").read_text())
    assert shown == {"columns": ["figure", "value"], "data": [["spearman/accuracy", 0.5]]}
    tables = [entry["path"] for entry in json.loads(store.tags("resnet")["mlflow.loggedArtifacts"])]
    assert tables == ["ranking.json", "noise.json"]
    assert (store.artifacts("resnet") / "noise" / "study.html").read_text() == "page"
    assert store.curve("resnet", "candidates/best_accuracy") == BEST_SO_FAR


def test_other_settings_are_another_fine_tuning_and_another_outcome_replaces_it(store):
    with store.search() as show:
        show(candidates=CANDIDATES[:2])
    for epochs, accuracy in ((2, 0.91), (3, 0.92), (2, 0.93)):
        with store.search() as show:
            show(tunings=[Tuning("s0001", {"epochs": epochs}, _history(accuracy), {"final_accuracy": accuracy})])
    assert sorted(name for name in store.runs() if name.startswith("fine")) == [
        "fine-tune s0001 · 0.9200",
        "fine-tune s0001 · 0.9300",
    ]
    assert store.params("fine-tune s0001 · 0.9300")["finetune.epochs"] == "2"
    assert store.curve("fine-tune s0001 · 0.9300", "validation_accuracy") == [0.8, 0.93]


def test_the_winner_is_a_model_that_mlflow_serves(store, tmp_path):
    network, checkpoint = tmp_path / "pruned.onnx", tmp_path / "pruned.safetensors"
    checkpoint.write_bytes(b"weights")
    client = mlflow.MlflowClient(store.uri)
    for factor in (2.0, 2.0, 3.0):
        onnx_file(network, factor)
        with store.search() as show:
            tags = {"macs": "20", "final_accuracy": str(factor / 4)}
            show(winner=Winner(upload(checkpoint), network, "winners", tags))
        run_id = store.run_id("resnet")
        experiment = client.get_run(run_id).info.experiment_id
        model, *_ = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    assert (store.artifacts("resnet") / "checkpoint" / "pruned.safetensors").read_bytes() == b"weights"
    mlflow.set_tracking_uri(store.uri)
    served = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    images = np.random.default_rng(0).normal(size=(5, 3, 2, 2)).astype(np.float32)
    np.testing.assert_array_equal(served.predict(images)["scores"], images * np.float32(3))
    assert served.metadata.signature.inputs.inputs[0].shape == (-1, 3, 2, 2)
    assert served.input_example["images"].shape == (1, 3, 2, 2)
    assert model.model_id in [output.model_id for output in client.get_run(run_id).outputs.model_outputs]


def test_a_winner_is_one_registered_version_and_the_last_one_the_champion(store, tmp_path):
    network, checkpoint = tmp_path / "pruned.onnx", tmp_path / "pruned.safetensors"
    checkpoint.write_bytes(b"weights")
    client = mlflow.MlflowClient(store.uri)
    images = np.ones((1, 3, 2, 2), np.float32)
    for factor, version in ((2.0, 1), (2.0, 1), (3.0, 2), (2.0, 1)):
        onnx_file(network, factor)
        with store.search() as show:
            tags = {"final_accuracy": "0.9", "macs": f"{factor}"}
            show(winner=Winner(upload(checkpoint), network, "resnet-50-percent", tags))
        champion = client.get_model_version_by_alias("resnet-50-percent", "champion")
        assert int(champion.version) == version
        assert champion.run_id == store.run_id("resnet")
        assert champion.tags["eagleeye.search"] == KEY
        assert (champion.tags["final_accuracy"], champion.tags["macs"]) == ("0.9", f"{factor}")
        # By the registry's own name, from a process whose default store is another one.
        mlflow.set_tracking_uri(store.uri)
        served = mlflow.pyfunc.load_model("models:/resnet-50-percent@champion")
        np.testing.assert_array_equal(served.predict(images)["scores"], images * np.float32(factor))
    assert len(client.search_model_versions("name = 'resnet-50-percent'")) == 2


FULL = {"macs": 40e6, "params": 200e3, "macs_fraction": 1.0, "params_fraction": 1.0}
EVEN = {"macs": 19e6, "params": 90e3, "macs_fraction": 0.475, "params_fraction": 0.45}
PRUNED = {"macs": 20e6, "params": 100e3, "macs_fraction": 0.5, "params_fraction": 0.5}


def test_a_finished_search_leads_from_the_full_network_to_the_pruned_one(store, tmp_path):
    (tmp_path / "report" / "figures").mkdir(parents=True)
    (tmp_path / "report" / "report.html").write_text("<h1>")
    (tmp_path / "report" / "figures" / "scores.png").write_bytes(b"picture")
    _ranking(tmp_path / "ranking.parquet", winner="s0001")
    ranked = {"full": FULL, "even": EVEN, "pruned": PRUNED}
    for pruned in (0.88, 0.89, 0.89):
        finals = {"full": 0.9, "even": 0.87, "pruned": pruned}
        tested = {name: {**ranked[name], "final_accuracy": value} for name, value in finals.items()}
        with store.search() as show:
            show(
                settings=SETTINGS, candidates=CANDIDATES, ranking=upload(tmp_path / "ranking.parquet"), networks=ranked
            )
            show(networks=tested, reports=[Report("report", {"speedup": 2.0}, upload(tmp_path / "report"))])
    with store.search() as show:  # another stage, which knows no more than the ranking
        show(settings=SETTINGS, ranking=upload(tmp_path / "ranking.parquet"), networks=ranked)
    assert (store.artifacts("resnet") / "report" / "figures" / "scores.png").read_bytes() == b"picture"
    assert "resnet at 50% MACs · 90.00% → 89.00%" in store.runs()
    note = store.tags("resnet")["mlflow.note.content"].replace("\N{EM SPACE}", "")
    assert "| evenly pruned | 87.00% | 19.00 M (47.5%) | 90.00 k (45.0%) |" in note
    assert "| **winner s0001** | 89.00% | 20.00 M (50.0%) | 100.00 k (50.0%) |" in note
    points = [point for point in store.points("resnet") if point[0] == "final_accuracy"]
    assert sorted(points) == [
        ("final_accuracy", 0, 0.9),
        ("final_accuracy", 1, 0.87),
        ("final_accuracy", 2, 0.88),
        ("final_accuracy", 2, 0.89),
    ]


def test_no_metric_of_a_search_has_one_point_alone(store, tmp_path):
    """MLflow's page draws it as a bar, a chart of its own."""
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "report.html").write_text("page")
    _ranking(tmp_path / "ranking.parquet", winner="s0001")
    finals = {name: {**one, "final_accuracy": 0.9} for name, one in (("full", FULL), ("pruned", PRUNED))}
    with store.search() as show:
        show(settings={"strategies": {"count": 3, "generations": 2}}, candidates=CANDIDATES)
        show(
            settings={"strategies": {"count": 3, "generations": 2}},
            ranking=upload(tmp_path / "ranking.parquet"),
            networks=finals,
            tunings=[Tuning("s0001", {"epochs": 2}, _history(0.9), {"final_accuracy": 0.91})],
            reports=[Report("report", {"accuracy_change": -0.1}, upload(tmp_path / "page"))],
        )
    steps: dict[str, list[int]] = {}
    for name, step, _ in store.points("resnet"):
        steps.setdefault(name, []).append(step)
    assert {"candidates/accuracy", "generations/mean_accuracy", "final_accuracy"} <= set(steps)
    assert {name: found for name, found in steps.items() if len(found) < 2} == {}


def test_generations_are_drawn_when_all_of_them_is_scored(store, tmp_path):
    settings = {"strategies": {"count": 5, "generations": 2}}
    scored = [candidate(row, score) for row, score in enumerate((0.4, 0.6, 0.5, 0.7, 0.9))]
    allocated = candidate(50, 0.1, id="allocated-1", origin="allocated")  # runs with the first generation
    for part in ([allocated, *scored[:4]], [allocated, *scored[:4]], [allocated, *scored]):  # killed twice
        with store.search() as show:
            show(settings=settings, candidates=part)
    assert store.curve("resnet", "generations/best_accuracy") == [0.6]
    _ranking(tmp_path / "ranking.parquet", winner="s0001")
    for _ in range(2):
        with store.search() as show:
            show(settings=settings, candidates=scored, ranking=upload(tmp_path / "ranking.parquet"))
    assert store.curve("resnet", "generations/best_accuracy") == [0.6, 0.9]
    np.testing.assert_allclose(store.curve("resnet", "generations/mean_accuracy"), [0.4, 0.8])


def test_an_sqlite_store_can_be_read_while_a_search_writes(store):
    with store.search() as show:
        reader = sqlite3.connect(store.folder / "mlflow.db", isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM runs").fetchone()
        started = time.monotonic()
        show(candidates=CANDIDATES[:1])
        assert time.monotonic() - started < 10  # of MLflow's twenty seconds of patience
        reader.close()


@pytest.mark.slow
def test_a_thousand_candidates_with_sixty_params_take_less_than_a_minute(store):
    rates = {f"layer{row}": 0.5 for row in range(60)}
    with store.search() as show:
        started = time.process_time()  # the machine may be busy, which makes processor time longer, too: 12 to 30 s
        show(candidates=[candidate(row, row / 1000, rates=rates) for row in range(250)])
        assert 4 * (time.process_time() - started) < 60
