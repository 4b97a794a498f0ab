"""A store of MLflow read with nothing but SQL, and candidates to record in it."""

import hashlib
import sqlite3
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from tasks.record.page import Page
from tasks.record.shown import Upload, View
from tasks.record.store import Store as MlflowStore
from tasks.record.texts import CLASSES, Candidate, Terms

KEY = "5e" * 32
VANILLA = {"vanilla_accuracy": 0.1, "vanilla_loss": 2.5, "vanilla_agreement": 0.2, "vanilla_divergence": 2.6}
GROUPS = ("conv1", "layer1.0.conv1", "layer2.0.conv1")


def candidate(row: int, accuracy: float, vanilla=VANILLA, **changes) -> Candidate:
    rates = dict(zip(GROUPS, (0.1, 0.25, row / 100), strict=True))
    made = Candidate(
        f"s{row:04d}",
        "uniform",
        rates,
        *(20_400_000 + row, 136_000, 0.5, 0.5),
        {"accuracy": accuracy, "loss": 2.0 - accuracy, "agreement": 0.6, "divergence": 0.7} | vanilla,
        seconds=2.0,
    )
    return replace(made, **changes)


CANDIDATES = [
    candidate(0, 0.41),
    candidate(1, 0.62),
    candidate(2, 0.55),
    candidate(9, 0.70, id="even", origin="even"),
]
BEST_SO_FAR = [0.41, 0.62, 0.62]


class Store:
    """An experiment of its own in a store whose tables are read with nothing but SQL."""

    def __init__(self, folder: Path, experiment: str) -> None:
        self.folder = folder
        self.experiment = experiment
        self.uri = f"sqlite:///{folder}/mlflow.db"

    @contextmanager
    def search(self, key: str = KEY, name: str = "resnet at 50% MACs", terms: Terms = CLASSES):
        """The page of a search; what it is to show is given by the parts of a view."""
        page = Page(MlflowStore(self.uri, self.experiment), key, name, terms)
        yield lambda **parts: page.show(View(key, name, **{"settings": {}, "datasets": (), "terms": terms, **parts}))
        page.end("FINISHED")

    def rows(self, query: str, *values):
        with sqlite3.connect(self.folder / "mlflow.db") as connection:
            return connection.execute(query, values).fetchall()

    def runs(self) -> dict[str, str]:
        """Run id by run name; fails where two runs share a name."""
        query = (
            "SELECT r.name, r.run_uuid FROM runs r JOIN experiments e USING (experiment_id)"
            " WHERE e.name = ? AND r.lifecycle_stage = 'active'"
        )
        rows = self.rows(query, self.experiment)
        assert len({name for name, _ in rows}) == len(rows)
        return dict(rows)

    def run_id(self, start: str) -> str:
        (found,) = [run_id for name, run_id in self.runs().items() if name.startswith(start)]
        return found

    def params(self, start: str) -> dict[str, str]:
        return dict(self.rows("SELECT key, value FROM params WHERE run_uuid = ?", self.run_id(start)))

    def tags(self, start: str) -> dict[str, str]:
        return dict(self.rows("SELECT key, value FROM tags WHERE run_uuid = ?", self.run_id(start)))

    def points(self, start: str) -> list[tuple[str, int, float]]:
        query = "SELECT key, step, value FROM metrics WHERE run_uuid = ? ORDER BY key, step"
        return self.rows(query, self.run_id(start))

    def figures(self, start: str) -> dict[str, float]:
        points = self.points(start)
        assert len({key for key, _, _ in points}) == len(points), "a figure was written twice"
        return {key: value for key, _, value in points}

    def curve(self, start: str, key: str) -> list[float]:
        curve = [(step, value) for name, step, value in self.points(start) if name == key]
        assert [step for step, _ in curve] == list(range(1, len(curve) + 1))
        return [value for _, value in curve]

    def status(self, start: str) -> str:
        return self.rows("SELECT status FROM runs WHERE run_uuid = ?", self.run_id(start))[0][0]

    def artifacts(self, start: str) -> Path:
        uri = self.rows("SELECT artifact_uri FROM runs WHERE run_uuid = ?", self.run_id(start))[0][0]
        return Path(uri.removeprefix("file://"))


def upload(path: Path) -> Upload:
    """A file or folder, to be uploaded anew where it holds something else."""
    files = sorted(file for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
    return Upload(path, hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest())


def assert_recorded_once(store: Store) -> None:
    assert sorted(name for name in store.runs() if name[0] in "se") == [
        "even · 0.7000",
        "s0000 · 0.4100",
        "s0001 · 0.6200",
        "s0002 · 0.5500",
    ]
    assert len(store.runs()) == 5
    for one in CANDIDATES:
        rates = {"rate/conv1": "0.1000", "rate/layer1.0.conv1": "0.2500"}
        rates["rate/layer2.0.conv1"] = f"{one.rates['layer2.0.conv1']:.4f}"
        assert store.params(one.id) == {"origin": one.origin, **rates}
        assert store.figures(one.id) == one.figures()
        assert store.status(one.id) == "FINISHED"
        assert store.tags(one.id)["mlflow.parentRunId"] == store.run_id("resnet")
    assert store.curve("resnet", "candidates/best_accuracy") == BEST_SO_FAR
    assert store.curve("resnet", "candidates/accuracy") == [0.41, 0.62, 0.55]


def onnx_file(path: Path, factor: float) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    value = onnx.helper.make_tensor_value_info
    tensor = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Mul", ["images", "factor"], ["scores"])],
        "network",
        [value("images", tensor, ["batch", 3, 2, 2])],
        [value("scores", tensor, ["batch", 3, 2, 2])],
        [onnx.numpy_helper.from_array(np.float32(factor), "factor")],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10), path)


OF_THE_MOMENT = ("mlflow.user", "mlflow.source", "mlflow.git", "mlflow.note", "mlflow.parentRunId")


def picture(uri: str, experiment: str = "eagleeye") -> dict[str, Any]:
    """All that a store shows of an experiment and the registry, without ids, times and places."""
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id], max_results=5000) if found else []
    tags = found.tags if found else {}  # a store just made has no experiment yet
    names = {run.info.run_id: run.info.run_name for run in runs}
    assert len(set(names.values())) == len(runs), "two runs of one name"
    models = client.search_logged_models([found.experiment_id]) if found else []
    return {
        "runs": {run.info.run_name: _shown(client, run, names) for run in runs},
        "views": [value and name.split(".")[1] for name, value in tags.items() if "sharedView" in name],
        "models": sorted((model.name, str(model.status), names[model.source_run_id]) for model in models),
        "registry": [
            {
                "name": model.name,
                "aliases": {alias: int(version) for alias, version in model.aliases.items()},
                "versions": [
                    (int(one.version), str(one.status), one.tags, names.get(one.run_id))
                    for one in client.search_model_versions(f"name = '{model.name}'")
                ],
            }
            for model in client.search_registered_models()
        ],
    }


def _shown(client: MlflowClient, run: Any, names: dict[str, str]) -> dict[str, Any]:
    run_id, tags = run.info.run_id, run.data.tags
    points = [
        (key, point.step, point.value) for key in run.data.metrics for point in client.get_metric_history(run_id, key)
    ]
    return {
        "status": run.info.status,
        "params": run.data.params,
        "points": sorted(points),
        "figures": run.data.metrics,
        "tags": {name: value for name, value in tags.items() if not name.startswith(OF_THE_MOMENT)},
        "parent": names.get(tags.get("mlflow.parentRunId")),
        "inputs": sorted(entry.dataset.name for entry in run.inputs.dataset_inputs),
        "outputs": len(run.outputs.model_outputs) if run.outputs else 0,
        "artifacts": _files(client, run_id),
    }


def _files(client: MlflowClient, run_id: str, folder: str | None = None) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for entry in client.list_artifacts(run_id, folder):
        found += _files(client, run_id, entry.path) if entry.is_dir else [(entry.path, entry.file_size)]
    return sorted(found)
