"""Which score ranks refitted candidates: means over blocks of images, and rank correlations with what they predict."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import eagleeye
from benchmarks import scores
from benchmarks.finetuning import KEY, MEASURED, add
from benchmarks.scores import BY, COLUMNS, candidates, fits, looks, summary
from benchmarks.subjects import open_subject

PLACE = {"subject": "cifar10_resnet20", "budget": 0.25}


def scored(candidate: str, block: int, accuracy: float, loss: float) -> dict[str, Any]:
    found = dict.fromkeys(BY, accuracy) | {"loss": loss}
    return PLACE | {"candidate": candidate, "calibration": 256, "block": block} | found


def test_scores_are_compared_with_other_images_and_with_fine_tuning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "COUNTS", (128, 256))
    results = tmp_path / "scores.csv"
    one, other, after = [0.2, 0.4, 0.3, 0.1], [0.3, 0.4, 0.2, 0.1], [0.7, 0.6, 0.5, 0.4]
    # A loss that orders as the other block's top-1 does.
    rows = [scored(f"s{n}", 0, one[n], 1 - other[n]) for n in range(4)]
    rows += [scored(f"s{n}", 1, other[n], 1 - one[n]) for n in range(4)]
    rows += [scored("s9", 0, 0.9, 0.1) | {"budget": 0.5}]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(results, index=False)
    for n in (1, 0, 2):  # s3 is not fitted
        add(
            fits(results),
            dict.fromkeys((*KEY, *MEASURED), 0) | PLACE | {"candidate": f"s{n}", "test_accuracy": after[n]},
        )
    table = summary(results, 0.25).set_index(["images", "score"])
    assert table["sets"].tolist() == [2] * len(BY) + [1] * len(BY)
    top1, loss = table.loc[128, "accuracy"], table.loc[128, "loss"]
    # Places 3 1 2 4 against 2 1 3 4: 1 - 6 Σd² / (n (n² - 1)).
    assert (top1["other top-1"], loss["other top-1"]) == pytest.approx((1 - 12 / 60, 1))  # less loss is better
    assert table.loc[128, "output error"]["other top-1"] == pytest.approx(-(1 - 12 / 60))
    # Those fitted: 3 1 2 and 2 1 3 against 1 2 3; both sets choose s1, s0 is better by ten points.
    assert top1["fine-tuned"] == pytest.approx(((1 - 36 / 24) + (1 - 12 / 24)) / 2)
    assert top1["regret"] == pytest.approx(10)
    assert (top1["candidates"], top1["fitted"]) == (4, 3)
    assert np.isnan(table.loc[256, "accuracy"]["other top-1"])  # there are no others
    fits(results).unlink()
    assert summary(results, 0.25)["fine-tuned"].isna().all()


@pytest.mark.slow
def test_a_row_is_the_mean_over_a_block_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "BLOCK", 150)
    monkeypatch.setattr(scores, "BATCH", 50)
    monkeypatch.setattr(scores, "_arithmetic", nullcontext)  # what is compared with is in float32
    subject = open_subject("digits_resnet20")
    images = (subject.sub_validation.pixels / 255 - 0.305) / 0.376
    with torch.no_grad():
        full = subject.network.eval()(images)
    strategy, other, *_ = candidates(subject, 0.5, 1)
    assert (strategy.id, other.id) == ("s0000", "even-filled")
    found = {(row["calibration"], row["block"]): row for row in looks(subject, full, strategy, [50, 100])}
    assert list(found) == [(50, 0), (50, 1), (100, 0), (100, 1)]
    measured = subject.reconstruction
    thin = eagleeye.prune(subject.network, subject.space, strategy, criterion=measured.order, refit=measured)
    for calibration, block in found:
        start, stop = 150 * block, 150 * (block + 1)
        recalibrated = copy.deepcopy(thin).train()
        for layer in recalibrated.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.reset_running_stats()
                layer.momentum = None
        with torch.no_grad():
            for batch in ((subject.calibration.pixels[:calibration] / 255 - 0.305) / 0.376).split(50):
                recalibrated(batch)
            outputs, wanted = recalibrated.eval()(images[start:stop]), full[start:stop]
        row = {name: float(found[calibration, block][name]) for name in BY}
        right = (outputs.argmax(1) == subject.sub_validation.labels[start:stop]).double().mean()
        assert row["accuracy"] == pytest.approx(float(right))
        error = (torch.linalg.vector_norm(outputs - wanted, dim=1) / torch.linalg.vector_norm(wanted, dim=1)) ** 2
        assert row["output error"] == pytest.approx(float(error.double().mean()), rel=1e-4)


@pytest.mark.slow
def test_the_published_protocol_scores_the_same_network(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = open_subject("digits_resnet20")
    strategy, *_ = candidates(subject, 0.5, 1)
    monkeypatch.setattr(scores, "BLOCK", 200)
    monkeypatch.setattr(scores, "Published", lambda _: SimpleNamespace(adapt=lambda network: network.eval()))
    rows = list(scores.published(subject, torch.zeros(400, 10), strategy))
    assert [(row["calibration"], row["block"]) for row in rows] == [(scores.SEEN, 0), (scores.SEEN, 1)]
    measured = subject.reconstruction
    thin = eagleeye.prune(subject.network, subject.space, strategy, criterion=measured.order, refit=measured)
    images, labels = (subject.sub_validation.pixels / 255 - 0.305) / 0.376, subject.sub_validation.labels
    with torch.no_grad():
        right = thin.eval()(images).argmax(1) == labels
    assert [float(row["accuracy"]) for row in rows] == pytest.approx(
        [float(half.double().mean()) for half in right.split(200)]
    )
