"""The result in a few lines: for the terminal, and for the Prefect UI."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from eagleeye.task.classification import SCORERS
from eagleeye.task.confidence import Hits
from tasks.artifacts import METRICS, PRUNED, RANKING, REFERENCE, REPORT, RESULTS, read_table, rows_of

COLUMNS = ["network", "test accuracy", "MACs", "parameters", "file"]
SHOWN = 5
PAGE = REPORT / "report.html"
NAMES = {"pruned": "pruned ({id})", "other": "{id}", "baseline": "baseline"}


def result_table() -> tuple[list[str], list[list[str]]]:
    """The networks before and after.

    Returns:
        Columns and rows.
    """
    results = rows_of(read_table(RESULTS))
    full = results[0]
    return COLUMNS, [_row(result, full) for result in results]


def result_verdicts() -> list[str]:
    """The winner against the full and the evenly pruned network, each in a sentence that says how sure it is."""
    # Brings the drawing library along, which a flow's end is not to wait for at its beginning.
    from eagleeye.report.verdicts import verdicts

    results = read_table(RESULTS)
    hits = {row["id"]: Hits.unpack(row["test_hits"]).values for row in rows_of(results)}
    name = results.loc[results["role"] == "pruned", "id"].item()
    return verdicts(name, hits[name], hits["baseline"], None if name == REFERENCE else hits.get(REFERENCE))


def latency_line() -> str:
    """What a forward pass takes, in one sentence."""
    metrics = json.loads(METRICS.read_text(encoding="utf-8"))
    before, after = metrics["baseline_latency_ms"], metrics["pruned_latency_ms"]
    return f"forward pass: {before:.2f} ms before, {after:.2f} ms after ({metrics['speedup']:.2f} times as fast)"


def headline() -> str:
    """The result in one line."""
    results = read_table(RESULTS).set_index("role")
    pruned, full = results.loc["pruned"], results.loc["baseline"]
    return (
        f"{pruned['id']}: {pruned['test_accuracy']:.2%} with {pruned['macs'] / full['macs']:.1%} of the MACs "
        f"(unpruned: {full['test_accuracy']:.2%})"
    )


def ranking_text() -> str:
    """The ranking's first rows as text: narrow, as a terminal shows a log's time and task before it."""
    ranking = read_table(RANKING)
    by = ranking["ranked_by"].iloc[0]
    text = SCORERS[by].evidence.text
    shown = pd.concat([ranking.head(SHOWN), ranking[ranking["id"] == REFERENCE]]).drop_duplicates("id")
    rows = [
        [
            "-" if pd.isna(row["rank"]) else str(row["rank"]),
            row["id"],
            text(row[by]),
            f"{row['images']:,}",
            f"{row['macs_fraction']:.1%}",
        ]
        for row in rows_of(shown)
    ]
    return "\n".join([f"the ranking of {len(ranking)}, best first:", *_aligned(["", "id", by, "images", "MACs"], rows)])


def result_text() -> str:
    """The result as text, as narrow as the ranking, with the verdicts and where the network is."""
    results = rows_of(read_table(RESULTS))
    full = results[0]
    rows = [
        [
            NAMES[one["role"]].format(id=one["id"]),
            f"{one['test_accuracy']:.2%}",
            f"{one['macs'] / full['macs']:.1%}",
            f"{one['params'] / full['params']:.1%}",
        ]
        for one in results
    ]
    table = _aligned(["", "test", "MACs", "parameters"], rows)
    return "\n".join(
        ["the result:", *table, *result_verdicts(), latency_line(), f"network: {PRUNED}", f"report:  {PAGE}"]
    )


def _aligned(columns: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [columns, *rows]
    ]


def markdown() -> str:
    """The result as a page of Markdown."""
    columns, rows = result_table()
    lines = [f"# {headline()}", "", _line(columns), _line(["---"] * len(columns)), *map(_line, rows), ""]
    told = [line for sentence in result_verdicts() for line in (sentence, "")]
    return "\n".join([*lines, *told, latency_line(), "", f"The network: `{PRUNED}`; the pictures: `{PAGE}`", ""])


def _row(result: dict[str, Any], full: dict[str, Any]) -> list[str]:
    return [
        NAMES[result["role"]].format(id=result["id"]),
        f"{result['test_accuracy']:.2%}",
        _cost(result["macs"], full["macs"]),
        _cost(result["params"], full["params"]),
        f"{Path(result['file']).stat().st_size / 1e6:.2f} MB",
    ]


def _cost(value: int, full: int) -> str:
    amount = next(
        (f"{value / unit:.3g} {letter}" for letter, unit in (("G", 1e9), ("M", 1e6), ("k", 1e3)) if full >= unit), None
    )
    return f"{amount or f'{value:,}'} ({value / full:.1%})"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
