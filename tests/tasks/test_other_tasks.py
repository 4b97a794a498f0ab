"""Searches for networks that are no classifiers, stage by stage; their figures against computations of their own."""

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import eagleeye
from eagleeye.errors import ConfigError
from tasks.__main__ import STAGES
from tasks.artifacts import COEFFICIENTS, FINETUNE, FITS, PRUNED, RANKING, REPORT, RESULTS, STUDIED
from tasks.params import Params
from tasks.settings import override, read_params
from tests.tasks.conftest import ROOT, SMALL, Recorder, run_stage

HERE = __name__
SIDE = 16
COUNT = {"train": 120, "test": 40}


def squares(side: str) -> tuple[Tensor, Tensor]:
    """Noise with a light and a dark square, and the class of every pixel."""
    random = np.random.default_rng(side == "test")
    images = random.normal(128, 20, (COUNT[side], SIDE, SIDE))
    masks = np.zeros((COUNT[side], SIDE, SIDE), np.uint8)
    for image, mask in zip(images, masks, strict=True):
        for kind, shade in ((1, 90), (2, -90)):
            y, x = random.integers(0, SIDE - 6, 2)
            image[y : y + 6, x : x + 6] = 128 + shade + random.normal(0, 20, (6, 6))
            mask[y : y + 6, x : x + 6] = kind
    return torch.from_numpy(images.clip(0, 255).astype(np.uint8)), torch.from_numpy(masks)


class Net(nn.Module):
    """Class scores for every pixel."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, filters in ((1, 8), (8, 12), (12, 12)):
            layers += [nn.Conv2d(inputs, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(12, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Of pictures (n, 1, h, w)."""
        head: Tensor = self.head(self.body(x))
        return head


def share() -> nn.Module:
    """How much of a picture is light, from tensors."""
    return nn.Sequential(Net(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))


def shares() -> tuple[TensorDataset, TensorDataset]:
    """Tensors as the network takes them, with a number each."""
    found = []
    for side in COUNT:
        images, masks = squares(side)
        found.append(TensorDataset(images[:, None].float() / 128 - 1, (masks == 1).float().mean((1, 2))[:, None]))
    return found[0], found[1]


COMMON = SMALL | {
    "model.options": {},
    "rank.by": None,
    "baseline.augment": "none",
    "finetune.augment": "none",
    "subset.calibration": 24,
    "subset.sub_validation": 40,
    "evaluate.first_images": [16, 20],
    "rank.top_k": 1,
}


def searched(folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> dict[str, Recorder]:
    """Run every stage in a folder; what each has said."""
    shutil.copy(ROOT / "params.yaml", folder)
    monkeypatch.chdir(folder)
    changes = {name.replace("__", "."): value for name, value in settings.items()}
    override(folder / "params.yaml", COMMON | {"tracking.uri": f"sqlite:///{folder}/mlflow.db"} | changes)
    params = read_params(folder / "params.yaml")
    return {name: run_stage(name, params) for name in STAGES}


def _studied() -> Params:
    settings = {"candidates": 3, "seeds": 1, "resamples": 100, "training.epochs": 1, "training.augment": "none"}
    override(Path("params.yaml"), {f"correlation.{name}": value for name, value in settings.items()})
    return read_params(Path("params.yaml"))


def results() -> dict[str, pd.Series]:
    return {row["role"]: row for _, row in pd.read_parquet(RESULTS).iterrows()}


@pytest.mark.slow
def test_a_segmenter_is_pruned_from_folders_of_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in COUNT:
        for kind, pictures in zip(("images", "masks"), squares(side), strict=True):
            (tmp_path / side / kind).mkdir(parents=True)
            for row, picture in enumerate(pictures):
                Image.fromarray(picture.numpy()).save(tmp_path / side / kind / f"{row:03}.png")
    options = {f"{side}_{kind}": f"{side}/{kind}" for side in COUNT for kind in ("images", "masks")}
    shape = {"size": SIDE, "resize": None, "mean": [0.5], "std": [0.5]}
    said = searched(
        tmp_path,
        monkeypatch,
        task="segmentation",
        data__source="masks",
        data__options=options | {"classes": ["ground", "light", "dark"]},
        data__preprocess=shape,
        model__name=f"{HERE}:Net",
    )
    ranking = pd.read_parquet(RANKING)
    ranked = ranking[ranking["rank"].notna()]
    assert (ranking["ranked_by"] == "overlap").all()
    for _, rung in ranked.groupby("images"):
        assert rung.sort_values("rank")["overlap"].is_monotonic_decreasing
    row = results()["pruned"]
    images, masks = squares("test")
    network = eagleeye.load(PRUNED).eval()
    with torch.no_grad():
        chosen = network((images[:, None].float() / 255 - 0.5) / 0.5).argmax(1)
    both = np.array([((chosen == kind) & (masks == kind)).sum() for kind in range(3)])
    either = np.array([((chosen == kind) | (masks == kind)).sum() for kind in range(3)])
    assert row["test_mIoU"] == pytest.approx((both / either).mean(), abs=1e-3)
    assert row["test_pixel_accuracy"] == pytest.approx(float((chosen == masks).double().mean()), abs=1e-3)
    metrics = json.loads(Path("metrics.json").read_text())
    assert metrics["pruned_mIoU"] == row["test_mIoU"]
    page = (REPORT / "report.html").read_text(encoding="utf-8")
    assert "mIoU" in page
    assert (REPORT / "examples.png").is_file()
    assert any(line.startswith("baseline: overlap, the mean over images") for line in said["baseline"].said)
    with sqlite3.connect("mlflow.db") as store:
        keys = {key for (key,) in store.execute("SELECT DISTINCT key FROM metrics")}
        (title,) = store.execute("SELECT name FROM runs WHERE name LIKE '%→%'").fetchone()
    assert {"overlap", "final_overlap", "final_mIoU", "validation_overlap"} <= keys
    assert title.endswith(f"→ {row['test_overlap']:.2%}")


@pytest.mark.slow
def test_numbers_and_no_labels_from_tensors_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    common = {"data__source": f"{HERE}:shares", "data__preprocess": "none", "model__name": f"{HERE}:share"}
    searched(tmp_path, monkeypatch, task="regression", **common, rank__top_k=2)
    found = pd.read_parquet(RESULTS)
    row = results()["pruned"]
    _, test = shares()
    with torch.no_grad():
        told = eagleeye.load(PRUNED).eval()(test.tensors[0])
    assert row["test_error"] == pytest.approx(float((told - test.tensors[1]).abs().mean()), rel=1e-3)
    assert row["test_mean_absolute_error"] == pytest.approx(row["test_error"], rel=1e-3)
    # Less is better: the result is the best on the sub-validation images.
    tuned = found[found["role"] != "baseline"]
    assert row["validation_error"] == tuned["validation_error"].min()

    run_stage("correlation", _studied())
    studied = pd.read_parquet(STUDIED)
    fits = pd.read_parquet(FITS)
    assert studied["test_error"].tolist() == pytest.approx(fits["test_error"].tolist())
    assert "mean absolute error" not in studied
    rows = pd.read_parquet(COEFFICIENTS).query("measure == 'regret'").set_index("score")["value"]
    # Turned round: the best has the least error, and a choice can only lose.
    drawn = studied[studied["origin"] != "even"]
    lost = drawn.set_index("error")["test_error"].loc[drawn["error"].min()] - drawn["test_error"].min()
    assert rows["error"] == pytest.approx(lost)

    shutil.copy("artifacts/baseline.safetensors", "trained.safetensors")
    shutil.rmtree(FINETUNE)
    changes = {"model__checkpoint": "trained.safetensors", "finetune__distillation": 1.0}
    said = searched(tmp_path, monkeypatch, task="fidelity", **common, **changes, rank__top_k=2)
    row = results()["pruned"]
    found = pd.read_parquet(RESULTS)
    assert found.loc[found["role"] == "baseline", "test_distance"].item() == 0.0
    tuned = found[found["role"] != "baseline"]
    assert row["validation_distance"] == tuned["validation_distance"].min()
    assert any("relative distance" in line for line in said["baseline"].said)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "segmentaton"}, "task 'segmentaton' is none of"),
        ({"task": "segmentation"}, "rank.by is accuracy, which is no score of task segmentation; allowed are overlap"),
        ({"task": "fidelity", "rank.by": None}, "model.checkpoint is null, but task fidelity has no labels to train"),
        (
            {"task": "fidelity", "rank.by": None, "model.checkpoint": "a.pth"},
            "finetune.distillation is 0.5, but task fidelity has no labels to learn from; set it to 1",
        ),
        (
            {"task": "segmentation", "rank.by": None, "model.checkpoint": "a.pth"},
            "finetune.augment is shift, which moves pictures without their targets",
        ),
        (
            {"task": "multilabel", "rank.by": None, "baseline.augment": "none", "finetune.augment": "none"}
            | {"importance.criterion": "taylor", "strategies.allocated": False},
            "importance.criterion is taylor, which is made for classes",
        ),
        (
            {"task": "multilabel", "rank.by": None, "model.expected_accuracy": 0.9},
            "model.expected_accuracy is set, but task multilabel has no accuracy of classes",
        ),
    ],
)
def test_settings_that_do_not_fit_a_task_are_told_before_anything_runs(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    with pytest.raises(ConfigError) as refused:
        override(tmp_path / "params.yaml", settings)
    assert message in str(refused.value)


def test_images_without_what_the_task_takes_are_refused_by_the_first_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"task is segmentation, which takes masks .* come with a class each"):
        searched(tmp_path, monkeypatch, task="segmentation", data__source="digits")
    with pytest.raises(ConfigError, match=r"gives tensors as the network takes them.*set data.preprocess to none"):
        searched(tmp_path, monkeypatch, task="regression", data__source=f"{HERE}:shares", model__name=f"{HERE}:share")
