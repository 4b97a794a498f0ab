"""Order candidates by their scores, and say how sure the order is."""

from __future__ import annotations

import itertools

import pandas as pd

from eagleeye.errors import EvaluationError
from eagleeye.task.classification import CLASSIFICATION
from eagleeye.task.scores import Order

BY_ACCURACY = CLASSIFICATION.order("accuracy")


def rank(table: pd.DataFrame, by: Order = BY_ACCURACY) -> pd.DataFrame:
    """Order candidates: those that got further in a race first, then by score, then id.

    Args:
        table: One row per candidate with at least `id`, the score and the one that decides between equals, unrounded,
            and `images`, the number of sub-validation images that it was scored on.
        by: What ranks, from `eagleeye.task.Task.order`.

    Returns:
        The rows in order, with first columns `rank` (1 is the winner) and `ranked_by`, the score.

    Raises:
        EvaluationError: No candidates, a missing score, or an id that occurs twice.
    """
    if table.empty:
        raise EvaluationError("ranking: there are no candidates")
    deciding = [by.first, by.second]
    unscored = table.loc[table[[scorer.name for scorer in deciding]].isna().any(axis=1), "id"]
    if len(unscored):
        raise EvaluationError(f"ranking: candidate '{unscored.iloc[0]}' has no score; evaluate it first")
    twice = table.loc[table["id"].duplicated(), "id"]
    if len(twice):
        raise EvaluationError(f"ranking: candidate '{twice.iloc[0]}' occurs twice")
    # Of two candidates the one that was scored on more images has beaten the other on the same images.
    columns = {"images": False, **{scorer.name: scorer.sign < 0 for scorer in deciding}, "id": True}
    ordered = table.sort_values(list(columns), ascending=list(columns.values()), ignore_index=True)
    ordered.insert(0, "rank", range(1, len(ordered) + 1))
    ordered.insert(1, "ranked_by", by.name)
    return ordered


def judge(ranked: pd.DataFrame, by: Order) -> pd.DataFrame:
    """How sure a ranking is.

    Args:
        ranked: Candidates in order, with `evidence`, the ranking score on every sub-validation image,
            packed by `eagleeye.task.confidence.Evidence.pack`.
        by: What ranked them.

    Returns:
        The same rows without `evidence`, with `score_low` and `score_high`, the interval of the ranking score (level
        95 %), and `beats_next`, the probability that a candidate is really better than the next one, from the images
        that both were scored on; the last one has none. An interval does not know that the winner was chosen because it
        did well: of many that are equally good the luckiest wins, so that its score is on the good side.
    """
    evidence = [by.first.evidence.unpack(packed) for packed in ranked["evidence"]]
    chances = [mine.chance_to_beat(next_one) for mine, next_one in itertools.pairwise(evidence)]
    low, high = zip(*(each.interval() for each in evidence), strict=True)
    columns = {"score_low": low, "score_high": high, "beats_next": [*chances, None]}
    return ranked.drop(columns="evidence").assign(**columns).astype({"beats_next": "float64"})
