"""Figures of the full, the evenly pruned and the pruned network, from the tables of the stages."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from eagleeye.task import Order
from tasks.artifacts import REFERENCE, metrics_of, rows_of
from tasks.record.texts import COSTS, final

Networks = dict[str, dict[str, float]]
WHOLE = ("macs", "params")
ROLES = {"baseline": "full", "pruned": "pruned"}  # in the table of results: which network that is


def of_ranking(ranking: pd.DataFrame) -> Networks:
    """What they cost.

    Args:
        ranking: ranking.parquet.
    """
    best, even = ranking[ranking["rank"] == 1], ranking[ranking["id"] == REFERENCE]
    found = {"pruned": _costs(best)}
    full = {name: round(found["pruned"][name] / found["pruned"][f"{name}_fraction"]) for name in WHOLE}
    found["full"] = {**full, **{f"{name}_fraction": 1.0 for name in WHOLE}}
    if len(even) and best["id"].item() != REFERENCE:
        found["even"] = _costs(even)
    return found


def of_results(results: pd.DataFrame, by: Order) -> Networks:
    """What they make of the test set.

    Args:
        results: finetune/results.parquet.
        by: What is told of it.
    """
    found: Networks = {}
    for row in rows_of(results):
        if which := ROLES.get(row["role"]) or (row["id"] == REFERENCE and "even"):
            found[which] = finals(row, by) | {name: float(row[name]) for name in WHOLE}
    return found


def of_report(figures: Mapping[str, float]) -> Networks:
    """How long they take.

    Args:
        figures: metrics.json.
    """
    return {
        which: {
            name.removeprefix(f"{role}_"): float(value)
            for name, value in figures.items()
            if name.startswith(f"{role}_latency_ms")
        }
        for role, which in ROLES.items()
    }


def joined(known: Mapping[str, Mapping[str, float]], found: Mapping[str, Mapping[str, float]]) -> Networks:
    """Both; what is found replaces what is known."""
    return {name: {**known.get(name, {}), **found.get(name, {})} for name in {**known, **found}}


def finals(row: Mapping[str, Any], by: Order) -> dict[str, float]:
    """The final figures of a row of results.

    Args:
        row: The row.
        by: What is told of the test images.
    """
    scores = {each.name: float(row[f"test_{each.name}"]) for each in (by.first, by.second)}
    return {final(name): value for name, value in (scores | metrics_of(row, by)).items()}


def _costs(row: pd.DataFrame) -> dict[str, float]:
    return {name: float(row[name].item()) for name in COSTS}
