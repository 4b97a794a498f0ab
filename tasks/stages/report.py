"""report: the numbers and pictures of the search as a page, metrics and plots; latency is measured here.

What is measured differs from run to run, so the page may as well say when that was, and at which commit: nothing
depends on the page, and what DVC restores is the page of that day.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from eagleeye.channels import Space
from eagleeye.data import read_subset
from eagleeye.latency.measure import compare_latency
from eagleeye.latency.parts import time_parts
from eagleeye.prune import prune
from eagleeye.report import Network, ReportData, SavedFile, write_report
from eagleeye.report.speed import FLOOR
from eagleeye.scoring.chance import chance_level
from eagleeye.task import CLASSIFICATION, Order
from eagleeye.task.scores import VANILLA
from tasks.artifacts import (
    BASELINE_HISTORY,
    CALIBRATION,
    FINETUNE_HISTORY,
    GROUPS,
    METRICS,
    PLOTS,
    PRUNED,
    RANKING,
    REPORT,
    RESULTS,
    SUB_VALIDATION,
    metrics_of,
    read_table,
    rows_of,
    write_text,
)
from tasks.inputs.chance import NEAR_CHANCE
from tasks.inputs.commit import commit
from tasks.inputs.images import choose_device, preprocess
from tasks.inputs.network import load_network, load_pruned
from tasks.inputs.space import example_input, trace_network
from tasks.params import Params
from tasks.record.beside import tell
from tasks.record.texts import budget_text, title_text
from tasks.run.context import Context
from tasks.run.pulse import doing
from tasks.run.summary import result_table, result_verdicts
from tasks.task_rules import chosen_by, task_for
from tasks.work.examples import examples_of


def run(params: Params, context: Context) -> None:
    """Measure latencies, write the report, the metrics and the tables behind DVC's plots, and tell the user.

    Raises:
        ArtifactError: An artefact is damaged, or the report cannot be written.
    """
    ranking = read_table(RANKING)
    history = read_table(FINETUNE_HISTORY)
    data = _report_data(params, ranking, history)
    doing("drawing")
    metrics = write_report(data, REPORT)
    doing("recording")
    write_text(METRICS, json.dumps(metrics, indent=2) + "\n")
    _write_plots(params, ranking, history)
    tell("report", params, context)
    for warning in data.warnings:
        context.warn(warning)
    context.table("result", *result_table(params))
    for sentence in result_verdicts(params):
        context.say(sentence)
    context.say(
        f"next: {REPORT}/report.html for the pictures, {PRUNED} for the network (eagleeye.load), `dvc metrics show`, "
        "`dvc plots show`, `make ui` for every candidate in MLflow"
    )


def _report_data(params: Params, ranking: pd.DataFrame, history: pd.DataFrame) -> ReportData:
    doing("tracing the network and measuring latency")
    network = load_network(params)
    space = trace_network(params, network)
    results = read_table(RESULTS)
    by = chosen_by(params)
    networks = {role: [_network(row, by) for row in rows_of(rows)] for role, rows in results.groupby("role")}
    latency, parts = _times(params, network, space)
    doing("looking at test images")
    device = choose_device(params.evaluate.device)
    examples = examples_of(params, network.to(device), load_pruned(params, PRUNED).to(device))
    return ReportData(
        title=title_text(params),
        baseline=networks["baseline"][0],
        pruned=networks["pruned"][0],
        others=tuple(networks.get("other", ())),
        ranking=ranking,
        groups=read_table(GROUPS),
        history=history,
        latency=latency,
        parts=parts,
        files=tuple(SavedFile(path.as_posix(), path.stat().st_size, params.model.pruned) for path in _files()),
        classes=len(read_subset(SUB_VALIDATION).classes),
        task=task_for(params),
        examples=examples,
        warnings=(*_warnings(params, ranking), *(f"not pruned: {reason}" for reason in space.left_out)),
        settings=_settings(params, ranking) | _circumstances(latency),
    )


def _network(row: dict[str, Any], by: Order) -> Network:
    size = Path(row["file"]).stat().st_size
    evidence = by.first.evidence.unpack(row[f"test_{by.first.images}"])
    second = row[f"test_{by.second.name}"]
    return Network(row["id"], evidence, second, row["macs"], row["params"], size, metrics_of(row, by))


def _files() -> list[Path]:
    return [PRUNED.with_suffix(suffix) for suffix in (PRUNED.suffix, ".onnx", ".pt2")]


def _times(params: Params, baseline: nn.Module, space: Space) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Latencies of whole networks, and where the time goes in the full and the pruned one."""
    device = choose_device(params.evaluate.device)
    settings = params.report
    sizes = settings.latency_batch_sizes
    repeats = settings.latency_repeats
    example = example_input(params).to(device)
    full = baseline.to(device)
    pruned = load_pruned(params, PRUNED).to(device)
    # What is left to be saved: a network of the same layers, as narrow as pruning can make them.
    floor = prune(full, space, [1.0] * len(space.groups))
    networks = {"baseline": full, "pruned": pruned, FLOOR: floor}
    latency = compare_latency(networks, example, batch_sizes=sizes, repeats=repeats)
    traced = prune(full, space, [0.0] * len(space.groups))
    return latency, time_parts(traced, pruned, example, batch_sizes=sizes, repeats=repeats)


def _warnings(params: Params, ranking: pd.DataFrame) -> list[str]:
    if task_for(params) is not CLASSIFICATION:
        return []
    best = ranking.loc[ranking["rank"] == 1, "accuracy"].item()
    if best > chance_level(read_subset(SUB_VALIDATION).labels):
        return []
    return [f"the best candidate was right on {best:.2%} before fine-tuning, which is chance: {NEAR_CHANCE}"]


def _settings(params: Params, ranking: pd.DataFrame) -> dict[str, str]:
    wanted = params.strategies
    return {
        "network": params.model.name,
        **({"pruned": f"its {params.model.core}, whose MACs and parameters are told"} if params.model.core else {}),
        "task": params.task,
        "data": _preparation(params),
        "budget": budget_text(params),
        "tolerance": f"±{wanted.budget.tolerance:.1%} of the full network",
        "candidates": f"{wanted.count}, seed {wanted.seed}, rates up to {wanted.max_rate}",
        "calibration images": f"{len(read_subset(CALIBRATION)):,}",
        "sub-validation images": f"{len(read_subset(SUB_VALIDATION)):,}",
        "adaptive BN": params.evaluate.mode,
        "ranked by": str(ranking["ranked_by"].iloc[0]),
        "fine-tuning": _tuning(params),
    }


def _tuning(params: Params) -> str:
    tuning = params.finetune
    return f"{tuning.epochs} epochs, lr {tuning.lr}" if tuning.trainer is None else f"by {tuning.trainer}"


def _preparation(params: Params) -> str:
    """Classes and preparation of the images: what whoever uses the network has to know."""
    told = preprocess(params)
    if told is None:
        return "tensors as the source gives them"
    size = f"{told.size} pixels square" if told.size else "the images' own size"
    crop = f", the centre of a short side of {told.resize}" if told.resize else ""
    names = read_subset(SUB_VALIDATION).classes
    classes = f"{len(names)} classes; " if names else ""
    scale = f"(value / 255 \N{MINUS SIGN} {list(told.mean)}) / {list(told.std)} per channel"
    return f"{classes}{size}{crop}; {scale}"


def _circumstances(latency: pd.DataFrame) -> dict[str, str]:
    """Where and when the page was made."""
    facts = {"measured": f"{datetime.now(UTC):%Y-%m-%d}, on {latency['device'].iloc[0]}, PyTorch {torch.__version__}"}
    found = commit()
    return facts | ({"commit": found} if found else {})


def _write_plots(params: Params, ranking: pd.DataFrame, history: pd.DataFrame) -> None:
    """The tables that DVC draws: `score` and `validation_score` are the task's first score, by whatever name it has."""
    name = chosen_by(params).name
    figures = ranking.drop(columns=["rates", "widths"])
    figures = figures.assign(score=figures[name], vanilla_score=figures[VANILLA + name])
    write_text(PLOTS / "ranking.csv", figures[figures["rank"].notna()].to_csv(index=False))
    results = read_table(RESULTS)
    winner = results.loc[results["role"] == "pruned", "id"].item()
    curves = {"finetune": history[history["id"] == winner], "baseline": read_table(BASELINE_HISTORY)}
    for which, epochs in curves.items():
        told = epochs.assign(validation_score=epochs[f"validation_{name}"])
        write_text(PLOTS / f"{which}.csv", told.to_csv(index=False))
