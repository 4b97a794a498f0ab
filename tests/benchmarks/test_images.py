"""The correlation of scores on fewer images, against scipy and plain means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.images import spearman_by_images
from eagleeye.correlation import Bootstrap
from eagleeye.racing import Scores
from eagleeye.scores import SCORERS


def test_the_first_images_are_averaged_and_compared() -> None:
    random = np.random.default_rng(0)
    accuracy = random.random(12)
    values = {
        "accuracy": random.random((12, 40)) < accuracy[:, None],
        "loss": random.random((12, 40)).astype(np.float32),
        "agreement": random.random((12, 40)) < 0.5,
        "divergence": random.random((12, 40)).astype(np.float32),
    }
    packed = [
        {name: SCORERS[name].evidence(column[row]).pack() for name, column in values.items()} for row in range(12)
    ]
    found = [Scores({}, columns) for columns in packed]
    table = spearman_by_images(found, accuracy, [10, 40], Bootstrap(resamples=50)).set_index(["images", "score"])
    assert len(table) == 8
    for (count, name), row in table.iterrows():
        wanted = stats.spearmanr(SCORERS[name].sign * values[name][:, :count].mean(axis=1), accuracy).statistic
        # Losses are kept in half precision.
        assert row["value"] == pytest.approx(wanted, abs=0.02)
        assert row["low"] <= row["value"] <= row["high"]
