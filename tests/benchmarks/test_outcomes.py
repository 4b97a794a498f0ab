"""The comparison of choices: each meets the budget, none is fitted twice, and means are means."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import eagleeye
from benchmarks import outcomes
from benchmarks.finetuning import KEY, MEASURED, add, read
from benchmarks.outcomes import CHOICES, summary
from benchmarks.subjects import Subject, open_subject

SLOW = ("published protocol", "1,000 candidates")
FACTS = {"subject": "digits_resnet20", "budget": 0.5, "images": 10, "epochs": 2, "macs_fraction": 0.5, "score": 0.7}


def row(way: str, seed: int, accuracy: float) -> dict[str, Any]:
    return dict.fromkeys((*KEY, *MEASURED), 0) | FACTS | {"way": way, "seed": seed, "test_accuracy": accuracy}


def test_means_and_deviations_are_over_the_seeds(tmp_path: Path) -> None:
    for seed, (first, second) in enumerate([(0.80, 0.70), (0.83, 0.75), (0.79, 0.71)]):
        add(tmp_path / "results.csv", row("evolution", seed, first))
        add(tmp_path / "results.csv", row("evenly pruned", seed, second))
    table = summary(pd.read_csv(tmp_path / "results.csv")).set_index("way")
    assert table.loc["evolution", "test"] == pytest.approx(np.mean([80, 83, 79]))
    assert table.loc["evenly pruned", "sd"] == pytest.approx(np.std([70, 75, 71], ddof=1))
    assert table["seeds"].tolist() == [3, 3]


def test_of_three_the_best_on_the_sub_validation_images_counts() -> None:
    validation = {"this project's default": (0.70, 0.90), "its second": (0.80, 0.60), "its third": (0.75, 0.50)}
    test = {"this project's default": (0.1, 0.2), "its second": (0.3, 0.4), "its third": (0.5, 0.6)}
    rows = [
        row(way, seed, test[way][seed]) | {"validation_accuracy": validation[way][seed]}
        for way in validation
        for seed in (0, 1)
    ]
    table = summary(pd.DataFrame(rows)).set_index("way")
    assert table.loc["the best of its three", "test"] == pytest.approx(100 * (0.3 + 0.2) / 2)
    assert "the best of its three" not in set(summary(pd.DataFrame(rows[:-1]).query("seed == 1"))["way"])


@pytest.fixture(scope="module")
def digits() -> Subject:
    return open_subject("digits_resnet20")


@pytest.mark.slow
@pytest.mark.parametrize("choice", [choice for choice in CHOICES if choice not in SLOW])
def test_every_choice_meets_the_budget(choice: str, digits: Subject) -> None:
    strategy, tried = CHOICES[choice](digits, 0.5)
    pruned = eagleeye.prune(digits.network, digits.space, strategy)
    image = digits.calibration.pixels[:1].float()
    share = eagleeye.cost(pruned, image).macs / eagleeye.cost(digits.network, image).macs
    assert abs(share - 0.5) <= (0.05 if choice == "evenly pruned" else 0.005)
    assert tried == {"evenly pruned": 1, "best of 5 random": 5}.get(choice, outcomes.CANDIDATES)


@pytest.mark.slow
def test_a_stopped_comparison_goes_on_where_it_was(
    digits: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.finetuning.open_subject", lambda _: digits)
    file = tmp_path / "results.csv"

    def run(*more: str) -> None:
        fixed = ["--subject", "digits_resnet20", "--macs", "0.5", "--epochs", "1", "--images", "128"]
        monkeypatch.setattr(sys, "argv", ["outcomes", *fixed, "--results", str(file), *more])
        outcomes.main()

    run("--seeds", "1", "--choices", "evenly pruned")
    first = read(file)
    run("--seeds", "2", "--choices", "evenly pruned", "best of 5 random")
    assert read(file)[:1] == first
    found = [(entry["way"], entry["seed"]) for entry in read(file)]
    assert found == [(way, seed) for way in ("evenly pruned", "best of 5 random") for seed in "01"]
    whole = file.read_bytes()
    run("--seeds", "2", "--choices", "evenly pruned", "best of 5 random")
    assert file.read_bytes() == whole
