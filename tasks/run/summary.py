"""The result in a few lines: for the terminal, and for the Prefect UI."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from eagleeye.task import CLASSIFICATION, Scorer
from tasks.artifacts import METRICS, PRUNED, RANKING, REFERENCE, REPORT, RESULTS, metrics_of, read_table, rows_of
from tasks.params import Params
from tasks.task_rules import chosen_by, ranked_by

SHOWN = 5
PAGE = REPORT / "report.html"
NAMES = {"pruned": "pruned ({id})", "other": "{id}", "baseline": "baseline"}


def result_table(params: Params) -> tuple[list[str], list[list[str]]]:
    """The networks before and after.

    Args:
        params: The settings.

    Returns:
        Columns and rows.
    """
    results = rows_of(read_table(RESULTS))
    full = results[0]
    tested = _tested(params)
    columns = ["network", *(f"test {name}" for name in tested(full)), "MACs", "parameters", "file"]
    return columns, [_row(result, full, tested(result).values()) for result in results]


def result_verdicts(params: Params) -> list[str]:
    """The winner against the full and the evenly pruned network, each in a sentence that says how sure it is."""
    # Brings the drawing library along, which a flow's end is not to wait for at its beginning.
    from eagleeye.report.verdicts import verdicts

    results = read_table(RESULTS)
    by = chosen_by(params).first
    hits = {row["id"]: by.evidence.unpack(row[f"test_{by.images}"]) for row in rows_of(results)}
    name = results.loc[results["role"] == "pruned", "id"].item()
    return verdicts(name, hits[name], hits["baseline"], None if name == REFERENCE else hits.get(REFERENCE))


def latency_line() -> str:
    """What a forward pass takes, in one sentence."""
    metrics = json.loads(METRICS.read_text(encoding="utf-8"))
    before, after = metrics["baseline_latency_ms"], metrics["pruned_latency_ms"]
    return f"forward pass: {before:.2f} ms before, {after:.2f} ms after ({metrics['speedup']:.2f} times as fast)"


def headline(params: Params) -> str:
    """The result in one line."""
    by = chosen_by(params).first
    results = {row["role"]: row for row in rows_of(read_table(RESULTS))}
    pruned, full = results["pruned"], results["baseline"]
    return (
        f"{pruned['id']}: {_what(by)}{by.evidence.text(pruned[f'test_{by.name}'])} with"
        f" {pruned['macs'] / full['macs']:.1%} of the MACs (unpruned: {by.evidence.text(full[f'test_{by.name}'])})"
    )


def ranking_text(params: Params) -> str:
    """The ranking's first rows as text: narrow, as a terminal shows a log's time and task before it."""
    ranking = read_table(RANKING)
    by = ranked_by(params).name
    text = ranked_by(params).first.evidence.text
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


def result_text(params: Params) -> str:
    """The result as text, as narrow as the ranking, with the verdicts and where the network is."""
    results = rows_of(read_table(RESULTS))
    full = results[0]
    tested = _tested(params)
    rows = [
        [
            NAMES[one["role"]].format(id=one["id"]),
            *tested(one).values(),
            f"{one['macs'] / full['macs']:.1%}",
            f"{one['params'] / full['params']:.1%}",
        ]
        for one in results
    ]
    names = ["test"] if params.task == CLASSIFICATION.name else [f"test {name}" for name in tested(full)]
    table = _aligned(["", *names, "MACs", "parameters"], rows)
    return "\n".join(
        ["the result:", *table, *result_verdicts(params), latency_line(), f"network: {PRUNED}", f"report:  {PAGE}"]
    )


def _aligned(columns: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [columns, *rows]
    ]


def markdown(params: Params) -> str:
    """The result as a page of Markdown."""
    columns, rows = result_table(params)
    lines = [f"# {headline(params)}", "", _line(columns), _line(["---"] * len(columns)), *map(_line, rows), ""]
    told = [line for sentence in result_verdicts(params) for line in (sentence, "")]
    return "\n".join([*lines, *told, latency_line(), "", f"The network: `{PRUNED}`; the pictures: `{PAGE}`", ""])


def _what(by: Scorer) -> str:
    """A score's name before its value; accuracy is what everybody expects."""
    return "" if by.name == "accuracy" else f"{by.name} "


def _tested(params: Params) -> Callable[[Mapping[str, Any]], dict[str, str]]:
    """What is told of the test images, by name, from a row of results."""
    by = chosen_by(params)

    def cells(row: Mapping[str, Any]) -> dict[str, str]:
        metrics = {name: f"{value:.4f}" for name, value in metrics_of(row, by).items()}
        return {by.name: by.first.evidence.text(row[f"test_{by.name}"]), **metrics}

    return cells


def _row(result: dict[str, Any], full: dict[str, Any], tested: Iterable[str]) -> list[str]:
    return [
        NAMES[result["role"]].format(id=result["id"]),
        *tested,
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
