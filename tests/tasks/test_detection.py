"""A search for a detector whose backbone alone can be traced, on pictures with boxes: every stage, once."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor

import eagleeye
from benchmarks.scene_networks import boxes as detector
from eagleeye.models import load_checkpoint
from eagleeye.task.detection import average_precision
from tasks.__main__ import STAGES
from tasks.artifacts import BASELINE, PRUNED, RANKING, REPORT, RESULTS
from tasks.settings import override, read_params
from tests.tasks.conftest import ROOT, run_stage
from tests.tasks.scenes import write_scenes

SETTINGS = {
    "task": "detection",
    "data.source": "coco",
    "data.preprocess": {"size": None, "resize": None, "mean": [0.5], "std": [0.5]},
    "model.name": "benchmarks.scene_networks:boxes",
    "model.core": "backbone",
    "subset.calibration": 48,
    "subset.sub_validation": 30,
    "baseline.epochs": 4,
    "baseline.batch_size": 16,
    "baseline.lr": 0.02,
    "baseline.augment": "none",
    "strategies.budget.tolerance": 0.05,
    "strategies.count": 3,
    "strategies.sampler": "uniform",
    "strategies.generations": 1,
    "strategies.even": False,
    "importance.images": 32,
    "evaluate.first_images": [16, 10],
    "evaluate.batch_size": 16,
    "rank.by": None,
    "finetune.epochs": 1,
    "finetune.batch_size": 16,
    "finetune.augment": "none",
    "report.latency_repeats": 5,
    "report.latency_batch_sizes": [1],
}


def read(folder: Path, count: int) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Pictures as the network takes them, and their boxes, straight from the files."""
    pictures = np.stack([np.asarray(Image.open(folder / "test" / f"{row}.png")) for row in range(count)])
    content = json.loads((folder / "test.json").read_text())
    targets: list[dict[str, Tensor]] = []
    for row in range(count):
        found = [each for each in content["annotations"] if each["image_id"] == row]
        corners = [[x, y, x + width, y + height] for x, y, width, height in (each["bbox"] for each in found)]
        labels = torch.tensor([1 + each["category_id"] for each in found])
        targets.append({"boxes": torch.tensor(corners).view(-1, 4), "labels": labels})
    return torch.from_numpy(pictures)[:, None].float() / 127.5 - 1, targets


@pytest.mark.slow
def test_a_detectors_backbone_is_pruned_and_comes_back_as_it_was_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    options = write_scenes(tmp_path / "data", train=200, test=40)
    tracking = {"tracking.uri": f"sqlite:///{tmp_path}/mlflow.db"}
    override(tmp_path / "params.yaml", SETTINGS | tracking | {"data.options": options})
    params = read_params(tmp_path / "params.yaml")
    for stage in STAGES:
        run_stage(stage, params)
    ranking = pd.read_parquet(RANKING)
    assert set(ranking["ranked_by"]) == {"average_precision"}
    assert ranking["macs_fraction"].between(0.45, 0.55).all()
    results = pd.read_parquet(RESULTS).set_index("role")
    assert results[["test_average_precision", "test_mAP", "test_mAP@50"]].notna().all(axis=None)
    images, targets = read(tmp_path / "data", 40)
    network = eagleeye.load(PRUNED, into=detector(num_classes=11))
    full = detector(num_classes=11)
    load_checkpoint(full, BASELINE)
    for role, tested in (("pruned", network), ("baseline", full.eval())):
        with torch.no_grad():
            wanted = float(average_precision(tested(images), targets).mean())
        assert results["test_average_precision"][role] == pytest.approx(wanted, abs=1e-4)
        assert wanted > 0.05
    session = onnxruntime.InferenceSession(PRUNED.with_suffix(".onnx"))
    (features,) = session.run(None, {"images": images[:2].numpy()})
    with torch.no_grad():
        assert np.allclose(features, network.get_submodule("backbone")(images[:2]).numpy(), atol=1e-3)
    assert eagleeye.read_metadata(PRUNED)["core"] == "backbone"
    assert "into=full)" in (REPORT / "report.html").read_text(encoding="utf-8")
