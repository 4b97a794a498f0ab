"""Order candidates by their scores."""

from __future__ import annotations

import pandas as pd

from eagleeye.errors import EvaluationError


def rank(table: pd.DataFrame) -> pd.DataFrame:
    """Order candidates: higher accuracy first, then lower loss, then id.

    Args:
        table: One row per candidate with at least `id`, `accuracy` and `loss`, unrounded.

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
    ordered = table.sort_values(["accuracy", "loss", "id"], ascending=[False, True, True], ignore_index=True)
    ordered.insert(0, "rank", range(1, len(ordered) + 1))
    return ordered
