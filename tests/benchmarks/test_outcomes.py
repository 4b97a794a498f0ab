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


@pytest.fixture(scope="module")
def digits() -> Subject:
    return open_subject("digits_resnet20")


@pytest.mark.slow
@pytest.mark.parametrize("choice", [choice for choice in CHOICES if choice != "published protocol"])
def test_every_choice_meets_the_budget(choice: str, digits: Subject) -> None:
    pruned = eagleeye.prune(digits.network, digits.space, CHOICES[choice](digits, 0.5, 20, 0))
    image = digits.calibration.pixels[:1].float()
    share = eagleeye.cost(pruned, image).macs / eagleeye.cost(digits.network, image).macs
    assert abs(share - 0.5) <= (0.05 if choice == "evenly pruned" else 0.005)


@pytest.mark.slow
def test_the_places_of_a_race_are_three_networks(digits: Subject) -> None:
    places = ("this project", "its second", "its third")
    assert len({CHOICES[place](digits, 0.5, 10, 0).widths for place in places}) == 3


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
    run("--seeds", "1", "--choices", "this project", "--candidates", "6")
    run("--seeds", "1", "--choices", "this project", "--candidates", "7")  # another number is another search
    assert [entry["candidate"].split()[-1] for entry in read(file)[4:]] == ["6", "7"]
    whole = file.read_bytes()
    run("--seeds", "2", "--choices", "evenly pruned", "best of 5 random")
    assert file.read_bytes() == whole
