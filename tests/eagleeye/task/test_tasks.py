"""Segmentation, several labels and numbers: scores against scikit-learn, metrics, whole compressions, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import rel_entr
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    jaccard_score,
    log_loss,
    mean_absolute_error,
    r2_score,
)
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import eagleeye
from benchmarks.scene_networks import Count, Labels, UNet
from eagleeye.compression.division import divide
from eagleeye.errors import ConfigError, DataError, EvaluationError
from eagleeye.scoring.evaluate import outputs_of, predict
from eagleeye.scoring.measure import measure
from eagleeye.task.named import TASKS
from eagleeye.train import Recipe
from tests.eagleeye.task.networks import scenes, trained

KINDS = {"segmentation": UNet, "multilabel": Labels, "regression": Count}


def targets(task: str) -> Tensor:
    found = scenes()
    return {"segmentation": found.masks, "multilabel": found.labels, "regression": found.counts}[task]


@pytest.mark.parametrize("name", TASKS)
def test_every_score_is_decided_between_equals_by_one_that_needs_the_same(name: str) -> None:
    scorers = TASKS[name].scorers
    for scorer in scorers.values():
        assert scorers[scorer.second].compares == scorer.compares
        assert scorer.second != scorer.name
    assert len({scorer.images for scorer in scorers.values()}) == len(scorers)


@pytest.mark.parametrize("name", KINDS)
def test_a_network_is_at_no_distance_from_itself(name: str) -> None:
    task, model = TASKS[name], trained(KINDS[name])
    found = predict(model, [(scenes().images[:40], targets(name)[:40])], full=outputs_of(model), task=task)
    best = {scorer: (0 if task.scorers[scorer].sign < 0 else 1) for scorer in task.usable(labelled=False)}
    for scorer, value in best.items():
        assert found.scores[scorer] == pytest.approx(value, abs=1e-6)


def test_scores_of_pixels_are_those_of_scikit_learn_image_by_image() -> None:
    model, images, masks = trained(UNet), scenes().images[:12], scenes().masks[:12].clone()
    masks[:, :9] = 255  # a border that belongs to no class
    with torch.no_grad():
        logits, full = model(images), 1.3 * model(images).roll(1, dims=0)
    found = predict(model, [(images, masks)], full=lambda *_: full, task=TASKS["segmentation"]).columns
    probabilities, wanted = (F.softmax(each.double(), 1).permute(0, 2, 3, 1).numpy() for each in (logits, full))
    for row in range(len(images)):
        counted = masks[row] != 255
        truth, told = masks[row][counted].numpy(), logits[row].argmax(0)[counted].numpy()
        assert found["pixel_accuracy"][row] == pytest.approx(accuracy_score(truth, told))
        labels = sorted({*truth.tolist(), *told.tolist()})
        assert found["overlap"][row] == pytest.approx(jaccard_score(truth, told, average="macro", labels=labels))
        chances = probabilities[row][counted.numpy()]
        assert found["pixel_loss"][row] == pytest.approx(log_loss(truth, chances, labels=range(11)), rel=1e-5)
        same = accuracy_score(full[row].argmax(0).flatten(), logits[row].argmax(0).flatten())
        assert found["agreement"][row] == pytest.approx(same)
        apart = rel_entr(wanted[row], probabilities[row]).sum(-1).mean()
        assert found["divergence"][row] == pytest.approx(apart, rel=1e-5)


def test_an_image_of_ignored_pixels_alone_is_no_matter() -> None:
    masks = torch.full((2, 4, 4), 255)
    masks[1] = 1
    outputs = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = predict(nn.Identity(), [(outputs, masks)], task=TASKS["segmentation"]).columns
    assert (found["overlap"][0], found["pixel_accuracy"][0], found["pixel_loss"][0]) == (1, 0, 0)
    assert all(np.isfinite(column).all() for column in found.values())


def test_scores_of_labels_are_those_of_scikit_learn_image_by_image() -> None:
    model, images, labels = trained(Labels), scenes().images[:12], scenes().labels[:12]
    with torch.no_grad():
        logits, full = model(images), 1.3 * model(images).roll(1, dims=0)
    found = predict(model, [(images, labels)], full=lambda *_: full, task=TASKS["multilabel"]).columns
    chances, wanted = (torch.sigmoid(each.double()).numpy() for each in (logits, full))
    for row in range(len(images)):
        assert found["label_accuracy"][row] == accuracy_score(labels[row], chances[row] > 0.5)
        assert found["agreement"][row] == accuracy_score(wanted[row] > 0.5, chances[row] > 0.5)
        assert found["binary_loss"][row] == pytest.approx(log_loss(labels[row], chances[row], labels=[0, 1]), rel=1e-5)
        apart = rel_entr(wanted[row], chances[row]) + rel_entr(1 - wanted[row], 1 - chances[row])
        assert found["divergence"][row] == pytest.approx(apart.mean(), rel=1e-5)


def test_errors_are_those_of_numpy() -> None:
    model, images, counts = trained(Count), scenes().images[:12], scenes().counts[:12]
    with torch.no_grad():
        apart = (model(images) - counts).double().numpy()[:, 0]
    found = predict(model, [(images, counts)], task=TASKS["regression"]).columns
    np.testing.assert_allclose(found["error"], np.abs(apart), rtol=1e-5)
    np.testing.assert_allclose(found["squared_error"], apart**2, rtol=1e-5)


def test_metrics_are_those_of_all_images_together_whatever_the_batches() -> None:
    images, wanted = scenes().images, {name: targets(name) for name in KINDS}
    found = {
        name: measure(trained(kind), list(zip(images.split(37), wanted[name].split(37), strict=True)), TASKS[name])
        for name, kind in KINDS.items()
    }
    with torch.no_grad():
        outputs = {name: trained(kind)(images) for name, kind in KINDS.items()}
    told, truth = outputs["segmentation"].argmax(1).flatten(), wanted["segmentation"].flatten()
    assert found["segmentation"]["mIoU"] == pytest.approx(jaccard_score(truth, told, average="macro"), abs=1e-5)
    assert found["segmentation"]["pixel accuracy"] == pytest.approx(accuracy_score(truth, told), abs=1e-5)
    precision = average_precision_score(wanted["multilabel"], torch.sigmoid(outputs["multilabel"]), average="macro")
    assert found["multilabel"]["mean average precision"] == pytest.approx(precision, abs=1e-4)
    numbers = wanted["regression"].numpy(), outputs["regression"].numpy()
    assert found["regression"]["mean absolute error"] == pytest.approx(mean_absolute_error(*numbers), rel=1e-4)
    assert found["regression"]["R²"] == pytest.approx(r2_score(*numbers), rel=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_a_network_of_every_task_is_compressed_with_targets_and_without(name: str, tmp_path: Path) -> None:
    model, task = trained(KINDS[name]), TASKS[name]
    settings = {"macs": 0.5, "task": name, "candidates": 6, "tolerance": 0.02, "progress": False}
    data = TensorDataset(scenes().images, targets(name))
    found = eagleeye.compress(model, data, epochs=2, **settings)
    assert list(found.scores) == list(task.scorers)
    assert found.scored_by == next(iter(task.scorers))
    assert set(found.metrics) == set(task.metrics(model(scenes().images[:2])))
    found.save(tmp_path / "pruned.safetensors")
    found.report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert all(metric in page for metric in found.metrics)
    again = eagleeye.load(tmp_path / "pruned.safetensors")
    rows = divide(data, None, task, calibration=None, sub_validation=None, seed=0).sub_validation.rows
    wanted = predict(again, [(scenes().images[rows], targets(name)[rows])], task=task).scores[found.scored_by]
    assert wanted == pytest.approx(found.score, rel=1e-6)
    # The same images as a pair of tensors, and without targets at all.
    pair = eagleeye.compress(model, (scenes().images, targets(name)), epochs=2, **settings)
    assert pair.scores == found.scores
    alone = eagleeye.compress(model, scenes().images, **settings)
    assert list(alone.scores) == task.usable(labelled=False)
    assert not alone.metrics


WRONG: list[tuple[str, type[nn.Module], Any, type[Exception], str]] = [
    ("segmentation", UNet, scenes().masks[:, ::2], EvaluationError, r"masks: int64 \(24, 48\) given, but"),
    ("segmentation", UNet, scenes().masks + 5, EvaluationError, r"masks: class 15 occurs, but the network has 11"),
    ("segmentation", Labels, scenes().masks, EvaluationError, "is no score for every class and pixel"),
    ("segmentation", UNet, scenes().masks[:100], DataError, "240 images, but 100 targets"),
    ("multilabel", Labels, scenes().labels[:, :4], EvaluationError, r"labels: \(4,\) for every image, .* 10 outputs"),
    ("multilabel", Labels, scenes().labels * 2, EvaluationError, r"labels: 2.0 occurs; needed is 0 or 1"),
    ("regression", Count, scenes().counts * torch.nan, DataError, "targets .* NaN"),
    ("regression", Count, scenes().labels, EvaluationError, r"targets: \(10,\) for every image"),
    ("classification", Labels, scenes().labels, DataError, "others belong to other tasks"),
]


@pytest.mark.parametrize(("name", "kind", "given", "error", "said"), WRONG, ids=[said[:24] for *_, said in WRONG])
def test_targets_that_do_not_fit_are_refused_before_the_search(
    name: str, kind: type[nn.Module], given: Tensor, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        eagleeye.compress(trained(kind), (scenes().images, given), macs=0.5, task=name, progress=False)


def test_pictures_are_not_moved_without_their_masks() -> None:
    recipe = Recipe(1, batch_size=32, augment="shift_flip", distillation=0.5, mixed_precision=False)
    data = TensorDataset(scenes().images, scenes().masks)
    with pytest.raises(ConfigError, match="augment 'shift_flip' moves pictures without their targets"):
        eagleeye.compress(
            trained(UNet),
            data,
            macs=0.5,
            task="segmentation",
            candidates=4,
            tolerance=0.02,
            recipe=recipe,
            progress=False,
        )
