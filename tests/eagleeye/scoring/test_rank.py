"""The order of candidates against Python's own sort."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eagleeye
from eagleeye.errors import EvaluationError
from eagleeye.scoring.rank import judge
from eagleeye.task import CLASSIFICATION
from eagleeye.task.confidence import Hits, Losses

ACCURACY, LOSS = CLASSIFICATION.order("accuracy"), CLASSIFICATION.order("loss")
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
    assert (ranked["ranked_by"] == "accuracy").all()
    assert ranked.drop(columns=["rank", "ranked_by"]).to_dict("records") == expected


@given(rows=st.lists(scores, min_size=1, max_size=30), order=st.randoms())
@pytest.mark.parametrize(
    ("score", "share", "nats"),
    [("loss", "accuracy", "loss"), ("agreement", "agreement", "divergence"), ("divergence", "agreement", "divergence")],
)
def test_any_score_ranks_and_knows_which_way_is_better(
    score: str, share: str, nats: str, rows: list[tuple[float, float, int]], order: object
) -> None:
    table = [{"id": f"s{i:04d}", share: a, nats: b, "images": n} for i, (a, b, n) in enumerate(rows)]

    def place(row: dict[str, object]) -> tuple[object, ...]:
        merits = (-row[share], row[nats]) if score == share else (row[nats], -row[share])
        return (-row["images"], *merits, row["id"])

    expected = [row["id"] for row in sorted(table, key=place)]
    order.shuffle(table)
    ranked = eagleeye.rank(pd.DataFrame(table), CLASSIFICATION.order(score))
    assert ranked["id"].tolist() == expected
    assert (ranked["ranked_by"] == score).all()


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
    rows = [(f"s{i}", bits.mean(), 1.0, 400, Hits(bits).pack()) for i, bits in enumerate(right)]
    judged = judge(
        eagleeye.rank(pd.DataFrame(rows, columns=["id", "accuracy", "loss", "images", "evidence"])), ACCURACY
    )
    assert "evidence" not in judged
    assert (judged["score_low"] < judged["accuracy"]).all()
    assert (judged["accuracy"] < judged["score_high"]).all()
    assert judged["beats_next"].iloc[0] > 0.999
    assert 0.5 <= judged["beats_next"].iloc[1] < 0.999
    assert pd.isna(judged["beats_next"].iloc[2])


def test_a_ranking_by_loss_says_how_sure_it_is_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    shared = rng.gamma(1, size=400)
    nats = [shared + more + 0.1 * rng.random(400) for more in (0.0, 0.5, 0.5)]
    rows = [(f"s{i}", 0.5, each.mean(), 400, Losses(each).pack()) for i, each in enumerate(nats)]
    table = pd.DataFrame(rows, columns=["id", "accuracy", "loss", "images", "evidence"])
    judged = judge(eagleeye.rank(table, LOSS), LOSS)
    assert judged["id"][0] == "s0"
    assert (judged["score_low"] < judged["loss"]).all()
    assert (judged["loss"] < judged["score_high"]).all()
    # Each alone is known to 0.1 nats; image by image they differ by far less.
    assert judged["score_high"][0] - judged["score_low"][0] > 0.15
    assert judged["beats_next"].iloc[0] > 0.999
    assert 0.4 <= judged["beats_next"].iloc[1] < 0.999
