"""The order of candidates against Python's own sort."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eagleeye
from eagleeye.errors import EvaluationError

scores = st.tuples(st.sampled_from([0.1, 0.1000001, 0.5]), st.sampled_from([0.3, 0.7, 2.0]))


@given(rows=st.lists(scores, min_size=1, max_size=30), order=st.randoms())
def test_accuracy_then_loss_then_id_whatever_the_order_of_rows(rows: list[tuple[float, float]], order: object) -> None:
    table = [{"id": f"s{i:04d}", "accuracy": a, "loss": b, "extra": i} for i, (a, b) in enumerate(rows)]
    expected = sorted(table, key=lambda row: (-row["accuracy"], row["loss"], row["id"]))
    order.shuffle(table)
    ranked = eagleeye.rank(pd.DataFrame(table))
    assert ranked["rank"].tolist() == list(range(1, len(rows) + 1))
    assert ranked.drop(columns="rank").to_dict("records") == expected


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no candidates"),
        ([("a", 0.5, 1.0), ("b", None, 1.0)], "'b' has no score"),
        ([("a", 0.5, 1.0), ("a", 0.6, 1.0)], "'a' occurs twice"),
    ],
)
def test_tables_that_cannot_be_ranked_are_refused(rows: list[tuple[object, ...]], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        eagleeye.rank(pd.DataFrame(rows, columns=["id", "accuracy", "loss"]))
