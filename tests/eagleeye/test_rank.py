"""The order of candidates against Python's own sort."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eagleeye
from eagleeye.confidence import pack
from eagleeye.errors import EvaluationError
from eagleeye.rank import judge

scores = st.tuples(
    st.sampled_from([0.1, 0.1000001, 0.5]), st.sampled_from([0.3, 0.7, 2.0]), st.sampled_from([100, 500])
)


@given(rows=st.lists(scores, min_size=1, max_size=30), order=st.randoms())
def test_images_then_accuracy_then_loss_then_id_whatever_the_order_of_rows(
    rows: list[tuple[float, float, int]], order: object
) -> None:
    table = [{"id": f"s{i:04d}", "accuracy": a, "loss": b, "images": n} for i, (a, b, n) in enumerate(rows)]
    expected = sorted(table, key=lambda row: (-row["images"], -row["accuracy"], row["loss"], row["id"]))
    order.shuffle(table)
    ranked = eagleeye.rank(pd.DataFrame(table))
    assert ranked["rank"].tolist() == list(range(1, len(rows) + 1))
    assert ranked.drop(columns="rank").to_dict("records") == expected


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no candidates"),
        ([("a", 0.5, 1.0, 9), ("b", None, 1.0, 9)], "'b' has no score"),
        ([("a", 0.5, 1.0, 9), ("a", 0.6, 1.0, 9)], "'a' occurs twice"),
    ],
)
def test_tables_that_cannot_be_ranked_are_refused(rows: list[tuple[object, ...]], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        eagleeye.rank(pd.DataFrame(rows, columns=["id", "accuracy", "loss", "images"]))


def test_a_ranking_says_how_sure_it_is() -> None:
    rng = np.random.default_rng(0)
    right = [rng.random(400) < accuracy for accuracy in (0.8, 0.6, 0.6)]
    rows = [(f"s{i}", bits.mean(), 1.0, 400, pack(bits)) for i, bits in enumerate(right)]
    judged = judge(eagleeye.rank(pd.DataFrame(rows, columns=["id", "accuracy", "loss", "images", "correct"])))
    assert "correct" not in judged
    assert (judged["accuracy_low"] < judged["accuracy"]).all()
    assert (judged["accuracy"] < judged["accuracy_high"]).all()
    assert judged["beats_next"].iloc[0] > 0.999
    assert 0.5 <= judged["beats_next"].iloc[1] < 0.999
    assert pd.isna(judged["beats_next"].iloc[2])
