"""The correlation of scores on fewer images, against scipy and plain means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.images import spearman_by_images
from eagleeye.scoring.racing import Scores
from eagleeye.study.correlation import Bootstrap
from eagleeye.task.classification import SCORERS


def test_the_first_images_are_averaged_and_compared() -> None:
    random = np.random.default_rng(0)
    accuracy = random.random(12)
    drawn = {name: random.random((12, 40)) for name in SCORERS}
    values = {name: each < accuracy[:, None] if SCORERS[name].sign > 0 else each for name, each in drawn.items()}
    packed = [
        {name: SCORERS[name].evidence(column[row]).pack() for name, column in values.items()} for row in range(12)
    ]
    found = [Scores({}, columns) for columns in packed]
    table = spearman_by_images(found, accuracy, [10, 40], Bootstrap(resamples=50)).set_index(["images", "score"])
    assert len(table) == 2 * len(SCORERS)
    for (count, name), row in table.iterrows():
        wanted = stats.spearmanr(SCORERS[name].sign * values[name][:, :count].mean(axis=1), accuracy).statistic
        # Losses are kept in half precision.
        assert row["value"] == pytest.approx(wanted, abs=0.02)
        assert row["low"] <= row["value"] <= row["high"]
