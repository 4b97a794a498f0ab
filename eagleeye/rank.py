"""Order candidates by their scores, and say how sure the order is."""

from __future__ import annotations

import itertools

import pandas as pd

from eagleeye.confidence import chance_to_beat, interval, unpack
from eagleeye.errors import EvaluationError


def rank(table: pd.DataFrame) -> pd.DataFrame:
    """Order candidates: those that got further in a race first, then higher accuracy, then lower loss, then id.

    Args:
        table: One row per candidate with at least `id`, `accuracy` and `loss`, unrounded, and `images`, the number of
            sub-validation images that it was scored on.

    Returns:
        The rows in order, with a first column `rank` (1 is the winner).

    Raises:
        EvaluationError: No candidates, a missing score, or an id that occurs twice.
    """
    if table.empty:
        raise EvaluationError("ranking: there are no candidates")
    unscored = table.loc[table[["accuracy", "loss"]].isna().any(axis=1), "id"]
    if len(unscored):
        raise EvaluationError(f"ranking: candidate '{unscored.iloc[0]}' has no score; evaluate it first")
    twice = table.loc[table["id"].duplicated(), "id"]
    if len(twice):
        raise EvaluationError(f"ranking: candidate '{twice.iloc[0]}' occurs twice")
    # Of two candidates the one that was scored on more images has beaten the other on the same images.
    columns = {"images": False, "accuracy": False, "loss": True, "id": True}
    ordered = table.sort_values(list(columns), ascending=list(columns.values()), ignore_index=True)
    ordered.insert(0, "rank", range(1, len(ordered) + 1))
    return ordered


def judge(ranked: pd.DataFrame) -> pd.DataFrame:
    """How sure a ranking is.

    Args:
        ranked: Candidates in order, with `accuracy`, `images` and `correct`, which holds for every sub-validation image
            whether the candidate was right, as `eagleeye.confidence.pack` packs it.

    Returns:
        The same rows without `correct`, with `accuracy_low` and `accuracy_high`, the interval of each accuracy (level
        95 %), and `beats_next`, the probability that a candidate is really better than the next one, from the images
        that both were scored on; the last one has none. An interval does not know that the winner was chosen because it
        did well: of many that are equally good the luckiest wins, so that its accuracy is on the high side.
    """
    correct = [unpack(packed) for packed in ranked["correct"]]
    chances = [chance_to_beat(mine, next_one) for mine, next_one in itertools.pairwise(correct)]
    ends = [interval(accuracy, images) for accuracy, images in zip(ranked["accuracy"], ranked["images"], strict=True)]
    low, high = zip(*ends, strict=True)
    columns = {"accuracy_low": low, "accuracy_high": high, "beats_next": [*chances, None]}
    return ranked.drop(columns="correct").assign(**columns).astype({"beats_next": "float64"})
