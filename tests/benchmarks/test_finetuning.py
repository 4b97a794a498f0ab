"""The comparison of fine-tunings: paired by seed, and no fit is made twice."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks import finetuning
from benchmarks.finetuning import KEY, MEASURED, add, read, summary
from eagleeye.strategies import Strategy
from eagleeye.train import Recipe

FACTS = {"subject": "digits_resnet20", "budget": 0.5, "candidate": "s0001 of 2", "images": 10, "device": "cpu"}
SETTINGS = ["--subject", "digits_resnet20", "--macs", "0.5", "--epochs", "2"]


def row(way: str, seed: int, accuracy: float, **changes: object) -> dict[str, Any]:
    recipe = {"epochs": 2, "batch_size": 128, "lr": 0.01, "warmup_epochs": 0, "ema": None, "distillation": 0.0}
    recipe |= {"temperature": 4.0, "way": way, "seed": seed}
    return dict.fromkeys(MEASURED, 0.5) | FACTS | recipe | {"test_accuracy": accuracy, "seconds": 2.0, **changes}


def test_ways_are_compared_seed_by_seed(tmp_path: Path) -> None:
    plain, average = [0.80, 0.83, 0.79], [0.82, 0.86, 0.80]
    for seed, accuracy in enumerate(plain):
        add(tmp_path / "results.csv", row("plain", seed, accuracy))
    for seed in (2, 0, 1):  # in another order
        add(tmp_path / "results.csv", row("EMA", seed, average[seed], ema=0.99, seconds=3.0))
    add(tmp_path / "results.csv", row("EMA", 7, 0.1, ema=0.999))
    table = summary(pd.read_csv(tmp_path / "results.csv")).set_index("way")
    assert list(table.index) == ["plain", "EMA (decay 0.99)", "EMA (decay 0.999)"]
    found, differences = table.loc["EMA (decay 0.99)"], 100 * (np.array(average) - plain)
    assert found["seeds"] == 3
    assert (found["test"], found["sd"]) == pytest.approx((100 * np.mean(average), 100 * np.std(average, ddof=1)))
    assert found["over plain"] == pytest.approx(differences.mean())
    low, high = stats.ttest_rel(np.array(average) * 100, np.array(plain) * 100).confidence_interval(0.95)
    assert found["±"] == pytest.approx((high - low) / 2)
    assert found["time"] == 1.5
    assert np.isnan(table.loc["EMA (decay 0.999)", "over plain"])  # no plain fit with its seed


class Fake:
    """A bench whose fits take no time, and which dies when it has made so many."""

    made: ClassVar[list[tuple[float, Recipe]]] = []
    left = 1000

    def __init__(self, options: object) -> None:
        pass

    def winner(self, budget: float) -> Strategy:
        return Strategy("s0001", (), (), macs=0, params=0)

    def start(self, budget: float, strategy: Strategy, candidate: str) -> finetuning.Start:
        facts = FACTS | {"budget": budget, "candidate": candidate} | dict.fromkeys(MEASURED[:4], 0.5)
        return finetuning.Start(None, facts)

    def fit(self, start: finetuning.Start, recipe: Recipe) -> dict[str, float]:
        if Fake.left == 0:
            raise KeyboardInterrupt
        Fake.left -= 1
        Fake.made.append((start.facts["budget"], recipe))
        return dict.fromkeys(MEASURED[4:], 0.5)


def test_a_stopped_comparison_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetuning, "Bench", Fake)

    def run(*more: str) -> None:
        arguments = ["--results", str(tmp_path / "results.csv"), *SETTINGS, *more]
        monkeypatch.setattr(sys, "argv", ["finetuning", *arguments])
        finetuning.main()

    monkeypatch.setattr(Fake, "left", 3)
    with pytest.raises(KeyboardInterrupt):
        run("--seeds", "1")
    assert len(read(tmp_path / "results.csv")) == 3
    monkeypatch.setattr(Fake, "left", 1000)
    run("--seeds", "2")
    assert len(Fake.made) == len(set(Fake.made)) == 5 * 2
    rows = read(tmp_path / "results.csv")
    assert [(entry["way"], entry["seed"]) for entry in rows][:6] == [
        *((way, "0") for way in ("plain", "warm-up", "EMA", "distillation", "all")),
        ("plain", "1"),
    ]
    assert set(rows[0]) == {*KEY, *MEASURED}
    run("--seeds", "2", "--ways", "EMA", "--ema", "0.9", "--macs", "0.25")  # other settings are other fits
    assert [(budget, recipe.ema, recipe.seed) for budget, recipe in Fake.made[10:]] == [(0.25, 0.9, 0), (0.25, 0.9, 1)]
    taught = Fake.made[4][1]
    assert (taught.warmup_epochs, taught.ema, taught.distillation, taught.temperature) == (1, 0.99, 0.5, 4.0)


@pytest.mark.slow
def test_every_way_is_fitted_on_the_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [*SETTINGS, "--seeds", "1", "--candidates", "2", "--images", "200", "--results", f"{tmp_path}/mine.csv"]
    monkeypatch.setattr(sys, "argv", ["finetuning", *arguments])
    finetuning.main()
    table = pd.read_csv(tmp_path / "mine.csv")
    assert list(table["way"]) == ["plain", "warm-up", "EMA", "distillation", "all"]
    assert (table["images"] == 200).all()
    assert table["test_loss"].nunique() == 5
    assert (abs(table["macs_fraction"] - 0.5) < 0.01).all()
