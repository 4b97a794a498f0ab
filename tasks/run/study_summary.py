"""The correlation study in a few lines, a page and numbers: for the terminal, the Prefect UI, DVC and MLflow."""

import json
import math

from eagleeye.report import StudyData, answer, coefficient_rows, write_study
from tasks.artifacts import (
    COEFFICIENTS,
    CORRELATION,
    CORRELATION_METRICS,
    CORRELATION_PLOT,
    DISTANCES,
    STUDIED,
    WEIGHTS,
    read_table,
    rows_of,
    write_text,
)
from tasks.inputs.candidates import is_reference
from tasks.params import Params
from tasks.task_rules import task_for

COLUMNS = ["score", "Pearson", "Spearman", "Kendall", "points lost by its choice"]


def write_summary(params: Params) -> None:
    """Write the page with its figures, the metrics and the table behind DVC's plot.

    Raises:
        ArtifactError: A file cannot be written.
    """
    data = study_data(params)
    write_study(data, CORRELATION)
    write_text(CORRELATION_METRICS, json.dumps(study_metrics(), indent=2) + "\n")
    # What DVC draws, by the same names for every task.
    drawn = data.drawn.assign(score=data.drawn[data.by.name], test_score=data.drawn[data.after])
    write_text(CORRELATION_PLOT, drawn.drop(columns="reference").to_csv(index=False))


def study_data(params: Params) -> StudyData:
    """What the page shows."""
    settings = params.correlation
    candidates = read_table(STUDIED)
    weights = read_table(WEIGHTS)
    # The best candidate's first fine-tuning, as an example.
    example = weights[(weights["id"] == candidates["id"].iloc[0]) & (weights["seed"] == settings.training.seed)]
    return StudyData(
        title=f"{params.model.name} on {params.data.source}: what the score tells",
        candidates=candidates.assign(reference=is_reference(candidates)),
        coefficients=read_table(COEFFICIENTS),
        statistics=read_table(DISTANCES),
        weights=example,
        shown=candidates["id"].iloc[0],
        seeds=settings.seeds,
        level=settings.level,
        settings=_settings(params),
        task=task_for(params),
    )


def study_metrics() -> dict[str, dict[str, float]]:
    """Coefficients and regret (a fraction) by measure and score; what is undefined is left out."""
    found: dict[str, dict[str, float]] = {}
    for row in rows_of(read_table(COEFFICIENTS)):
        if math.isfinite(row["value"]):
            found.setdefault(row["measure"], {})[row["score"].replace(" ", "_")] = row["value"]
    return found


def coefficient_table(params: Params) -> tuple[list[str], list[list[str]]]:
    """The coefficients with their intervals: columns and rows."""
    return COLUMNS, coefficient_rows(study_data(params))


def headline(params: Params) -> str:
    """The answer in one line."""
    return answer(study_data(params))


def markdown(params: Params) -> str:
    """The answer as a page of Markdown."""
    columns, rows = coefficient_table(params)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join([f"# {headline(params)}", "", *("| " + " | ".join(line) + " |" for line in lines), ""])


def _settings(params: Params) -> dict[str, str]:
    wanted = params.correlation
    training = wanted.training
    return {
        "candidates": f"{wanted.candidates}, spread evenly over the ranking",
        "fine-tuning": f"{training.epochs} epochs, lr {training.lr}, seeds from {training.seed} on: {wanted.seeds}",
        "intervals": f"bootstrap, {wanted.resamples:,} resamples, level {wanted.level:.0%}, seed {wanted.seed}",
        "adaptive BN": params.evaluate.mode,
    }
