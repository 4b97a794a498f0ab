"""A small search on the digits, run once: every stage's body, one after another."""

import importlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from torch import nn

from tasks.__main__ import STAGES
from tasks.artifacts import PRUNED
from tasks.params import Params
from tasks.run.context import Advance, Keep, Work
from tasks.run.shared import Shared
from tasks.settings import override, read_params
from tasks.stages import finetune
from tests.once import once

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "model.name": "eagleeye.models.cifar_resnet:CifarResNet",
    "model.options": {"blocks": 1},
    "data.preprocess.size": 8,
    "baseline.epochs": 3,
    "baseline.lr": 0.05,
    "strategies.count": 6,
    "strategies.sampler": "uniform",
    "strategies.generations": 1,
    "strategies.max_rate": 0.7,
    # What costs time and is not what most tests are about; test_importance.py and test_strategies.py are.
    "strategies.allocated": False,
    "importance.criterion": "l1",
    "importance.refit": False,
    "evaluate.candidates_per_task": 4,
    "evaluate.batch_size": 16,
    "evaluate.first_images": [16, 100],
    "rank.top_k": 2,
    "finetune.epochs": 2,
    "report.latency_repeats": 5,
    "report.latency_batch_sizes": [1],
}


@dataclass
class Recorder:
    """A context that remembers what it was told, and can stop after some rows as a killed process does."""

    stop_after: int | None = None
    said: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    tables: dict[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    items: list[Any] = field(default_factory=list)
    steps: dict[str, tuple[int, int]] = field(default_factory=dict)

    def map(
        self,
        work: Work[Any, Any],
        items: Sequence[Any],
        shared: Shared,
        *,
        keep: Keep[Any, Any],
        batch: int = 1,
        workers: int = 1,
    ) -> Iterator[Any]:
        for rows, place in enumerate(range(len(items)), start=1):
            item = items[place]
            self.items.append(item)
            row = work(shared, item)
            keep(item, row)
            yield row
            if rows == self.stop_after:
                raise KeyboardInterrupt

    @contextmanager
    def progress(self, title: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        self.steps[title] = (done, total)

        def advance() -> None:
            self.steps[title] = (self.steps[title][0] + 1, total)

        yield advance

    def say(self, line: str) -> None:
        self.said.append(line)

    def warn(self, line: str) -> None:
        self.warned.append(line)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.tables[title] = rows


def run_stage(name: str, params: Params, context: Recorder | None = None) -> Recorder:
    context = context or Recorder()
    importlib.import_module(f"tasks.stages.{name}").run(params, context)
    return context


@dataclass(frozen=True)
class Search:
    folder: Path
    params: Params
    contexts: dict[str, Recorder]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Search:
    """The folder of a finished search; not to be changed."""
    return once(tmp_path_factory, "search", finish)


def finish(folder: Path) -> Search:
    """Run every stage in a folder."""
    shutil.copy(ROOT / "params.yaml", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # An export takes seconds: the winner's is enough.
        for export in (finetune.export_onnx, finetune.export_program):
            patch.setattr(finetune, export.__name__, partial(_export_the_winner, export))
        override(folder / "params.yaml", SMALL | {"tracking.uri": f"sqlite:///{folder}/mlflow.db"})
        params = read_params(folder / "params.yaml")
        contexts = {name: run_stage(name, params) for name in STAGES}
    return Search(folder, params, contexts)


def _export_the_winner(
    export: Callable[..., float], network: nn.Module, example: torch.Tensor, path: Path, *texts: Any
) -> float:
    if path.stem == PRUNED.stem:
        return export(network, example, path, *texts)
    path.write_bytes(b"")
    return 0.0


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of MLflow's with nothing in it; not to be changed."""
    return once(tmp_path_factory, "store", _make_store)


def _make_store(folder: Path) -> Path:
    store: Any = SqlAlchemyStore  # without types
    store(f"sqlite:///{folder}/mlflow.db", "mlruns").engine.dispose()
    return folder / "mlflow.db"


@pytest.fixture
def search(finished: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    """A copy of the finished search, in the working directory."""
    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder)
    monkeypatch.chdir(folder)
    # A whole path, because MLflow keeps a store in memory by its URI, across working directories.
    override(folder / "params.yaml", {"tracking.uri": f"sqlite:///{folder}/mlflow.db"})
    return Search(folder, read_params(folder / "params.yaml"), finished.contexts)


def changed(params: Params, **sections: dict[str, object]) -> Params:
    """Settings with other values in some sections."""
    update = {name: getattr(params, name).model_copy(update=values) for name, values in sections.items()}
    return params.model_copy(update=update)
