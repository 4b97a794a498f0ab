"""Fine-tuning on the digits: it continues, chooses on the sub-validation images, and keeps them out of training."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from eagleeye.data import open_source
from eagleeye.train import TrainResult
from tasks import artifacts
from tasks.settings import override
from tasks.stages import finetune
from tasks.work import training
from tests.tasks.conftest import ROOT, Search, changed, run_stage


def test_a_killed_fine_tuning_continues_and_ends_the_same(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [artifacts.PRUNED.read_bytes(), artifacts.FINETUNE_HISTORY.read_bytes(), artifacts.RESULTS.read_bytes()]
    for state in (artifacts.CACHE / "training" / "finetune").glob("*.pt"):
        state.unlink()
    # The export takes seconds, and is no part of what is interrupted.
    monkeypatch.setattr("tasks.stages.finetune.export_onnx", lambda *_: 0.0)
    monkeypatch.setattr("tasks.stages.finetune.export_program", lambda *_: 0.0)
    write = training._write

    def write_and_die(path: Path, state: dict[str, object]) -> None:
        write(path, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tasks.work.training._write", write_and_die)
        with pytest.raises(KeyboardInterrupt):
            run_stage("finetune", search.params)
    context = run_stage("finetune", search.params)
    assert context.said[0].endswith("continues after epoch 1 of 2")
    found = [artifacts.PRUNED.read_bytes(), artifacts.FINETUNE_HISTORY.read_bytes(), artifacts.RESULTS.read_bytes()]
    assert found == wanted


@pytest.mark.parametrize(("mode", "accuracy", "wanted"), [("reset", 0.9, 2), ("reset", 0.8, 0), ("paper", 0.9, 0)])
def test_the_even_network_is_the_result_where_it_is_better_unless_it_is_there_for_comparison(
    search: Search, mode: str, accuracy: float, wanted: int
) -> None:
    def tuned(origin: str, rank: object, accuracy: float) -> finetune.Tuned:
        training = TrainResult(pd.DataFrame(), 1, accuracy)
        return finetune.Tuned({"id": f"{origin}{rank}", "origin": origin, "rank": rank}, torch.nn.Identity(), training)

    entries = [tuned("uniform", 1, 0.8), tuned("uniform", 2, 0.8), tuned("even", pd.NA, accuracy)]
    params = changed(search.params, evaluate={"mode": mode})
    for order in itertools.permutations(entries):
        assert finetune.winner(params, list(order)) is entries[wanted]


@pytest.mark.parametrize(
    ("task", "scores", "metrics", "wanted"),
    [
        ("fidelity", (0.3, 0.1, 0.2), (None,) * 3, 1),  # a distance: less is better
        ("segmentation", (0.3, 0.1, 0.2), (0.5, 0.6, 0.7), 2),  # the metric of the whole set decides
    ],
)
def test_the_result_is_the_best_by_what_the_task_counts(
    search: Search, task: str, scores: tuple[float, ...], metrics: tuple[float | None, ...], wanted: int
) -> None:
    changes = {"finetune": {"augment": "none", "distillation": 1.0}, "baseline": {"augment": "none"}}
    params = changed(search.params, **changes, rank={"by": None}, model={"checkpoint": "weights.pth"})
    params = params.model_copy(update={"task": task})
    entries = [
        finetune.Tuned(
            {"id": str(place), "origin": "uniform", "rank": place + 1},
            torch.nn.Identity(),
            TrainResult(pd.DataFrame(), 1, score),
            metric,
        )
        for place, (score, metric) in enumerate(zip(scores, metrics, strict=True))
    ]
    assert finetune.winner(params, entries) is entries[wanted]


def test_sub_validation_images_are_not_trained_on(search: Search) -> None:
    trainer = training.open_trainer(search.params, search.params.finetune, "finetune")
    train, _ = open_source("digits")
    kept_back = set(pd.read_parquet(artifacts.SUB_VALIDATION)["row"])
    assert len(trainer.data) == len(train) - len(kept_back)
    wanted = np.bincount([label for row, label in enumerate(train.labels) if row not in kept_back])
    assert np.bincount(trainer.data.labels.numpy()).tolist() == wanted.tolist()


@pytest.mark.slow
def test_fine_tuning_runs_under_torchrun_for_every_chosen_candidate(search: Search) -> None:
    override(Path("params.yaml"), {"finetune.epochs": 1, "finetune.seed": 5})
    shutil.rmtree(artifacts.FINETUNE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "tasks"]
    subprocess.run([*command, "finetune"], check=True, env=environment, timeout=240)
    results = pd.read_parquet(artifacts.RESULTS)
    assert list(results["role"]).count("baseline") == 1
    assert len(results) == 4  # the two best, and the evenly pruned network
    assert (results["test_accuracy"] > 0.5).all()
