"""What MLflow should show of a search, from the files that hold it."""

import functools
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from eagleeye.scoring.racing import Rung, Scores
from eagleeye.task import Task
from eagleeye.task.scores import VANILLA
from tasks.artifacts import (
    CALIBRATION,
    CANDIDATES,
    CORRELATION,
    EXTRA,
    FINETUNE_HISTORY,
    FIT_HISTORY,
    FITS,
    GROUPS,
    METRICS,
    PREPROCESS,
    PRUNED,
    RANKING,
    REPORT,
    RESULTS,
    SCOREBOOK,
    SCORES,
    STRATEGIES,
    STUDIED,
    SUB_VALIDATION,
    metrics_of,
    read_table,
    rows_of,
)
from tasks.inputs.evaluator import scoring_key
from tasks.params import Params
from tasks.passwords import without_passwords
from tasks.record.networks import finals, joined, of_ranking, of_report, of_results
from tasks.record.shown import Report, Tuning, Upload, View, Winner
from tasks.record.texts import Candidate, budget_text, registered_name, terms_of
from tasks.run.study_summary import study_metrics
from tasks.state.content_key import content_key
from tasks.state.scorebook import Scorebook
from tasks.task_rules import chosen_by, ranked_by, task_for


def view_of(params: Params, stages: Collection[str]) -> View:
    """The view of a search of which some stages are done.

    Args:
        params: The settings.
        stages: Those whose tables belong to the settings; stages that leave nothing to show are passed over.

    Raises:
        ArtifactError: A table is missing or damaged.
    """
    view = View(
        search_key(params),
        f"{params.model.name} at {budget_text(params)}",
        without_passwords(_settings(params)),
        (_dataset("calibration", CALIBRATION), _dataset("sub-validation", SUB_VALIDATION)),
        terms=terms_of(task_for(params), ranked_by(params)),
    )
    for stage, added in PARTS.items():
        if stage in stages:
            view = added(params, view)
    return view


def _settings(params: Params) -> dict[str, Any]:
    """The settings, with what was taken where they leave it open."""
    settings: dict[str, Any] = params.model_dump(mode="json", exclude={"tracking"})
    if params.data.preprocess == "auto":
        settings["data"]["preprocess"] = json.loads(PREPROCESS.read_text(encoding="utf-8"))
    return settings


def search_key(params: Params) -> str:
    """Hash of everything that makes it this search."""
    wanted = params.strategies
    return content_key(
        {
            "scoring": scoring_key(params),
            "strategies": STRATEGIES,
            # Later generations follow from the first one, the scores and these.
            "bred": [wanted.sampler, wanted.generations, wanted.count] if wanted.generations > 1 else None,
            "ranked by": ranked_by(params).name,
        }
    )


def candidate_of(groups: Sequence[str], row: Mapping[str, Any], images: int, scores: Scores) -> Candidate:
    """What a scored candidate's run shows.

    Args:
        groups: Names of the prunable groups.
        row: Its row of the table of candidates.
        images: Sub-validation images that its scores are of.
        scores: What was found; nothing image by image is needed.
    """
    columns = ["id", "origin", "macs", "params", "macs_fraction", "params_fraction"]
    return Candidate(
        **{column: row[column] for column in columns},
        rates=dict(zip(groups, map(float, row["rates"]), strict=True)),
        scores=dict(scores.values),
        latency=None if pd.isna(row["latency"]) else float(row["latency"]),
        seconds=scores.seconds,
        images=images,
    )


def fit_of(params: Params, fit: Mapping[str, Any], history: pd.DataFrame, scores: Mapping[Any, Any]) -> Tuning:
    """A fine-tuning of the study of correlation, with the candidate's scores, to be drawn against the accuracy."""
    settings = params.correlation.training.model_dump(mode="json") | {"seed": int(fit["seed"])}
    figures = {name: float(scores[name]) for name in task_for(params).columns}
    final = finals(fit, chosen_by(params))
    return Tuning(fit["id"], settings, columns_of(history), figures | final, "correlation")


def columns_of(history: pd.DataFrame) -> dict[str, list[float]]:
    """A history's columns as lists; speed, which is never the same twice, left out."""
    kept = history.drop(columns=["id", "seed", "images_per_second"], errors="ignore")
    return {str(name): kept[name].tolist() for name in kept}


def _scored_so_far(params: Params, view: View) -> View:
    """Candidates on record of a race that has not come to its end; later generations are in no table yet."""
    table = read_table(STRATEGIES)
    key = scoring_key(params)
    with Scorebook(SCOREBOOK, task_for(params)) as book:
        found = _on_record(params, table, book, key, book.rungs(key), {})
    return replace(view, candidates=found)


def _evaluated(params: Params, view: View) -> View:
    last = {row["id"]: row for row in rows_of(read_table(SCORES))}
    rungs = sorted({_rung(row) for row in last.values()}, key=astuple)
    with Scorebook(SCOREBOOK, task_for(params)) as book:
        found = _on_record(params, read_table(CANDIDATES), book, scoring_key(params), rungs, last)
    return replace(view, candidates=found)


def _on_record(
    params: Params,
    table: pd.DataFrame,
    book: Scorebook,
    key: str,
    rungs: Sequence[Rung],
    last: Mapping[str, Mapping[str, Any]],
) -> list[Candidate]:
    """Candidates from rung to rung, up to the last one of each where it is known."""
    groups = list(read_table(GROUPS)["name"])
    rows = rows_of(table)
    found = list[Candidate]()
    for rung in rungs:
        known = book.known(key, rung)
        for row in rows:
            final = last.get(row["id"])
            told = known.get("-".join(map(str, row["widths"])))
            if final is not None and _rung(final) == rung and told is None:  # restored: the search ran elsewhere
                found.append(candidate_of(groups, row, rung.sub_validation, _scores(final, task_for(params))))
            elif told is not None and (final is None or astuple(rung) <= astuple(_rung(final))):
                found.append(candidate_of(groups, row, rung.sub_validation, told))
    return found


def _rung(row: Mapping[str, Any]) -> Rung:
    return Rung(int(row["calibration_images"]), int(row["images"]))


def _scores(row: Mapping[str, Any], task: Task) -> Scores:
    """What a table says: a loss that is not a number was measured, vanilla scores without one number were not."""
    without = [name for name in task.columns if name.startswith(VANILLA)]
    unscored = set(without) if all(pd.isna(row[name]) for name in without) else set()
    return Scores({name: row[name] for name in task.columns if name not in unscored}, {})


def _ranked(_params: Params, view: View) -> View:
    return replace(view, ranking=_upload(RANKING), networks=joined(view.networks, of_ranking(read_table(RANKING))))


def _tuned(params: Params, view: View) -> View:
    settings = params.finetune.model_dump(mode="json")
    history = read_table(FINETUNE_HISTORY)
    tunings = list(view.tunings)
    winner = view.winner
    results = read_table(RESULTS)
    by = chosen_by(params)
    for row in rows_of(results):
        final = finals(row, by)
        if row["role"] != "baseline":
            tunings.append(Tuning(row["id"], settings, columns_of(history[history["id"] == row["id"]]), final))
        if row["role"] == "pruned":
            facts = {"candidate": row["id"], "budget": budget_text(params), "macs": row["macs"], **final}
            tags = {name: str(value) for name, value in facts.items()}
            winner = Winner(_upload(PRUNED), PRUNED.with_suffix(".onnx"), registered_name(params), tags)
    terms = replace(view.terms, metrics=tuple(metrics_of(rows_of(results)[0], by)))
    networks = joined(view.networks, of_results(results, by))
    return replace(view, tunings=tunings, winner=winner, networks=networks, terms=terms)


def _reported(_params: Params, view: View) -> View:
    figures = json.loads(METRICS.read_text(encoding="utf-8"))
    report = Report("report", figures, _upload(REPORT))
    return replace(view, reports=[*view.reports, report], networks=joined(view.networks, of_report(figures)))


def _studied(params: Params, view: View) -> View:
    history = read_table(FIT_HISTORY)
    scores = read_table(STUDIED).set_index("id")
    tunings = [
        fit_of(
            params,
            fit,
            history[(history["id"] == fit["id"]) & (history["seed"] == fit["seed"])],
            scores.loc[fit["id"]],
        )
        for fit in rows_of(read_table(FITS))
    ]
    flat = {f"{measure}/{score}": value for measure, row in study_metrics().items() for score, value in row.items()}
    report = Report("correlation", flat, _upload(CORRELATION))
    return replace(view, tunings=[*view.tunings, *tunings], reports=[*view.reports, report])


def _extras(params: Params, view: View) -> View:
    by = chosen_by(params)
    told = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(EXTRA.glob("*/result.json"))]
    tunings = [
        Tuning(one["id"], one["finetune"], columns_of(pd.DataFrame(one["history"])), finals(one, by), "extra")
        for one in told
        if one.get("search") == view.key
    ]
    return replace(view, tunings=[*view.tunings, *tunings])


PARTS = {
    "strategies": _scored_so_far,
    "evaluate": _evaluated,
    "rank": _ranked,
    "finetune": _tuned,
    "report": _reported,
    "study@correlation": _studied,
    "extra": _extras,
}
"""What the tables of each stage add, in the order in which it is shown."""


def _upload(path: Path) -> Upload:
    return Upload(path, content_key({"content": path})[:16])


@functools.cache
def _digest(path: Path, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _dataset(name: str, path: Path) -> dict[str, Any]:
    table = pq.ParquetFile(path)
    return {
        "name": name,
        "digest": _digest(path.absolute(), path.stat().st_mtime_ns),
        "path": path.as_posix(),
        "columns": [{"name": one.name, "type": str(one.type)} for one in table.schema_arrow],
        "rows": table.metadata.num_rows,
        "context": name,
    }
