"""A report of a search that never took place, with numbers one can check in the head."""

import numpy as np
import pandas as pd
import pytest

from eagleeye.report import Network, ReportData
from eagleeye.task import Hits


def right(accuracy: float) -> Hits:
    """On which of 10,000 images a network of that accuracy is right: the first ones."""
    return Hits(np.arange(10_000) < round(10_000 * accuracy))


def build(groups=5, candidates=40, vanilla=True, **changes):
    random = np.random.default_rng(0)
    channels = np.array([16 * 2 ** (3 * index // groups) for index in range(groups)])
    widths = [random.integers(channels // 3, channels + 1) for _ in range(candidates + 1)]
    fractions = 0.5 + random.uniform(-0.005, 0.005, candidates + 1)
    accuracy = np.sort(random.beta(6, 6, candidates + 1))[::-1] * 0.6 + 0.2
    ranking = pd.DataFrame(
        {
            "rank": pd.array([*range(1, candidates + 1), None], dtype="Int64"),
            "id": [*(f"s{number:04}" for number in random.permutation(candidates)), "even"],
            "origin": ["uniform"] * candidates + ["even"],
            "macs": (fractions * 40_000_000).astype(int),
            "params": (fractions * 270_000).astype(int),
            "macs_fraction": fractions,
            "params_fraction": fractions + random.uniform(-0.15, 0.15, candidates + 1),
            "ranked_by": "accuracy",
            "score_low": accuracy - 0.02,
            "score_high": accuracy + 0.03,
            "beats_next": [0.75] * (candidates - 1) + [None, None],
            "rates": [list(1 - width / channels) for width in widths],
            "widths": [list(width) for width in widths],
            "accuracy": accuracy,
            "loss": 3 - 2 * accuracy,
            "vanilla_accuracy": random.beta(2, 12, candidates + 1) * 0.4 + 0.08 if vanilla else None,
            "vanilla_loss": 4.0 if vanilla else None,
        }
    )
    winner = ranking["id"].iloc[0]
    epochs = np.arange(1, 13)
    history = pd.concat(
        pd.DataFrame(
            {
                "id": name,
                "epoch": epochs,
                "lr": 0.01,
                "train_loss": 0.3 + 0.9 * np.exp(-epochs / 3) + lift / 3,
                "validation_accuracy": 0.88 - 0.3 * np.exp(-epochs / 2.5) - lift + random.normal(0, 0.004, 12),
                "validation_loss": 0.4 + np.exp(-epochs / 3),
                "images_per_second": 1000.0,
            }
        )
        for name, lift in ((winner, 0.0), ("even", 0.03))
    )
    latency = pd.DataFrame(
        {
            "model": ["baseline", "pruned"] * 2,
            "batch_size": [1, 1, 32, 32],
            "median_ms": [8.0, 5.0, 120.0, 64.0],
            "p10_ms": [7.5, 4.8, 118.0, 63.0],
            "p90_ms": [9.0, 5.9, 130.0, 70.0],
            "images_per_second": [125.0, 200.0, 266.7, 500.0],
            "speedup": [1.0, 1.6, 1.0, 1.875],
            "device": "Some Processor 3000",
            "threads": 2,
        }
    )
    values = {
        "title": "cifar_resnet20 on parquet",
        "baseline": Network("baseline", right(0.8808), 0.4012, 40_000_000, 270_000, 1_100_000),
        "pruned": Network(winner, right(0.8695), 0.4377, 20_000_000, 135_000, 570_000),
        "others": (Network("even", right(0.8512), 0.4901, 20_100_000, 128_000, 555_000),),
        "ranking": ranking.sample(frac=1, random_state=1),
        "groups": pd.DataFrame(
            {
                "group": range(groups),
                "name": ["conv1", *(f"layer{1 + 3 * g // groups}.{g}.conv1" for g in range(1, groups))],
                "channels": channels,
                "members": [["conv1"]] * groups,
            }
        ),
        "history": history,
        "latency": latency,
        "classes": 10,
        "settings": {"Budget": "50 % of the MACs, ± 0.5 points", "Sampling": "seed 0, rates up to 0.7"},
    }
    return ReportData(**(values | changes))


@pytest.fixture(scope="session")
def make_report():
    """Builds a report; see `build` for what can be changed."""
    return build


@pytest.fixture
def report():
    return build()
