"""What the tracking server shows of a search: figures, keys, run names, the description."""

import base64
import json
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eagleeye.task.classification import COLUMNS, SCORERS
from eagleeye.task.scores import VANILLA
from tasks.params import Params

SEARCH, CANDIDATE, FINETUNE = "eagleeye.search", "eagleeye.candidate", "eagleeye.finetune"
WINNER, CHANGED, OUTCOME = "eagleeye.winner", "eagleeye.changed", "eagleeye.outcome"
UPLOADS, STUDY = "eagleeye.uploads", "eagleeye.study"
COSTS = ("macs", "params", "macs_fraction", "params_fraction")
BUDGETS = ("macs_fraction", "params_fraction", "latency")
FIGURES = (*COLUMNS, *COSTS)
LONGEST_KEY, LONGEST_VALUE = 250, 6000  # MLflow's limits
AXES = 8  # rates in a parallel-coordinates chart, spread over the depth of the network: more is unreadable


@dataclass(frozen=True)
class Candidate:
    """What one candidate's run shows.

    Attributes:
        id: The strategy's id.
        origin: Which generator drew it.
        rates: Pruning rate by group name.
        macs: Multiply-accumulates of the pruned network.
        params: Its parameters.
        macs_fraction: Its MACs as a fraction of the full network's.
        params_fraction: Its parameters as a fraction of the full network's.
        scores: On the sub-validation images, by name, as far as they are known.
        latency: Predicted milliseconds of a forward pass; None where no budget asks for it.
        seconds: Time of the evaluation; None where not measured.
        images: Sub-validation images that the scores are of.
    """

    id: str
    origin: str
    rates: Mapping[str, float]
    macs: int
    params: int
    macs_fraction: float
    params_fraction: float
    scores: Mapping[str, float]
    latency: float | None = None
    seconds: float | None = None
    images: int | None = None

    def figures(self) -> dict[str, float]:
        """What becomes a metric."""
        values = dict(self.scores) | {name: getattr(self, name) for name in (*COSTS, "latency", "seconds", "images")}
        return {name: readable(name, value) for name, value in values.items() if value is not None}


def readable(name: str, value: float) -> float:
    """A figure as it is; fractions, whose counts stand beside them, to four digits, which fit their column."""
    return round(float(value), 4) if name.endswith("_fraction") else float(value)


def key(name: str) -> str:
    """A name as the key of a param or metric: letters, digits, ``_-. :/``, no empty, dotted part, no .. first."""
    safe = re.sub(r"[^\w\-. :/]", "_", name)
    return re.sub(r"^(?=\.\.)|(^|/)(?=/|\.{0,2}(/|$))", r"\1_", safe)[:LONGEST_KEY]


def points_of(figures: Mapping[str, float]) -> list[tuple[str, float, int]]:
    """Figures as points of metrics that have no other step: key, value, step."""
    return [(key(name), float(value), 0) for name, value in figures.items()]


def flatten(settings: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested settings as params.

    Args:
        settings: Nested mappings; other values become JSON, strings stay as they are.
        prefix: What every key starts with.

    Returns:
        Value by dotted key, e.g. ``strategies.budget.macs``: ``0.5``.
    """
    flat: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
            flat[key(f"{prefix}{name}")] = text[:LONGEST_VALUE]
    return flat


def run_name(what: str, score: float, *, winner: bool = False) -> str:
    """Name of a nested run: who it is and how good, e.g. ``s0017 · 0.6123``."""
    return f"{what} · {score:.4f}" + (" · winner" if winner else "")


def describe(
    params: Mapping[str, str], metrics: Mapping[str, float], tags: Mapping[str, str], links: Mapping[str, str]
) -> str:
    """The description of a search, in Markdown; the UI folds what comes after the first lines.

    Args:
        params: The parent's params.
        metrics: The parent's metrics; pairs ``report/baseline_X`` and ``report/pruned_X`` fill a table.
        tags: The parent's tags.
        links: Address by text.
    """
    model, source = params.get("model.name", "network"), params.get("data.source", "its data")
    head = f"**{model}** on {source}"
    if WINNER in tags:
        head += f": winner **{tags[WINNER]}**, {metrics['macs_fraction']:.1%} of the MACs"
        head += f", {metrics['params_fraction']:.1%} of the parameters"
    if {"report/baseline_accuracy", "report/pruned_accuracy"} <= set(metrics):
        full, pruned = metrics["report/baseline_accuracy"], metrics["report/pruned_accuracy"]
        head += f", test accuracy {full:.2%} → {pruned:.2%}"
    # One paragraph, because the fold's shade catches clicks on a second one.
    lines = [f"{head}.  \n" + " · ".join(f"[{words}]({address})" for words, address in links.items())]
    measures = [name.removeprefix("report/baseline_") for name in metrics if name.startswith("report/baseline_")]
    rows = [_row(name, metrics) for name in measures if f"report/pruned_{name}" in metrics]
    if rows:
        lines.append("\n".join(["| | full | pruned | change |", "|---|---:|---:|---:|", *rows]))
    if changed := json.loads(tags.get(CHANGED, "{}")):
        listed = ", ".join(f"`{name}` = {value}" for name, value in changed.items())
        lines.append(f"Settings changed since the search was first recorded: {listed}.")
    return "\n\n".join(lines)


def candidates_view(name: str, parent: str, candidate: Candidate, now: int, ranked_by: str) -> str:
    """A saved view of MLflow's table of runs: the candidates of one search, best first, and charts of them.

    The format is that of the UI's own "Save as new view".

    Args:
        name: Name in the list of views.
        parent: Run id of the search.
        candidate: One of them, for the names of the groups and what is measured.
        now: Milliseconds since 1970.
        ranked_by: The score that ranks.
    """
    groups, measured = list(candidate.rates), candidate.figures()
    spread = {round(step * (len(groups) - 1) / (AXES - 1)) for step in range(AXES)} if groups else set()
    parallel: dict[str, object] = {
        "type": "PARALLEL",
        "metricSectionId": "rates",
        "selectedParams": [key(f"rate/{groups[place]}") for place in sorted(spread)],
        "selectedMetrics": ["params_fraction", ranked_by],
        "showAllRuns": True,
    }
    scatters: list[dict[str, object]] = [
        {
            "type": "SCATTER",
            "metricSectionId": "scores",
            "xaxis": {"key": across, "type": "METRIC"},
            "yaxis": {"key": ranked_by, "type": "METRIC"},
        }
        for across in (VANILLA + ranked_by, "macs_fraction")
    ]
    charts = [
        {"uuid": str(place), "runsCountToCompare": 100, **chart} for place, chart in enumerate([parallel, *scatters])
    ]
    columns = [ranked_by, "images", *(score for score in SCORERS if score != ranked_by), VANILLA + ranked_by, *BUDGETS]
    columns = [*(column for column in columns if column in measured), "final_accuracy"]
    state = {
        "searchFilter": f"tags.`mlflow.parentRunId` = '{parent}' and tags.`{CANDIDATE}` LIKE '%'",
        "orderByKey": f"metrics.`{ranked_by}`",
        "orderByAsc": SCORERS[ranked_by].sign < 0,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [f"metrics.`{column}`" for column in columns],
        "runsHiddenMode": "SHOWALL",
        "compareRunCharts": charts,
        # One axis per group of channels needs the width of the page.
        "compareRunSections": [
            {"uuid": "rates", "name": "Rates and score", "display": True, "columns": 1, "cardHeight": 420},
            {"uuid": "scores", "name": "Scores", "display": True, "columns": 2},
        ],
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    return json.dumps({"name": name, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"})


def _row(measure: str, metrics: Mapping[str, float]) -> str:
    full, pruned = metrics[f"report/baseline_{measure}"], metrics[f"report/pruned_{measure}"]
    name = measure.replace("_", " ")
    if "accuracy" in measure:
        return f"| {name} | {full:.2%} | {pruned:.2%} | {100 * (pruned - full):+.2f} points |"
    change = f"{pruned / full - 1:+.1%}" if full else ""
    return f"| {name} | {_quantity(full)} | {_quantity(pruned)} | {change} |"


def _quantity(value: float) -> str:
    if not math.isfinite(value) or abs(value) < 1000:
        return f"{value:.4g}"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.2f} {unit}"
    raise AssertionError(value)


def budget_text(params: Params) -> str:
    """The budget in words."""
    budget = params.strategies.budget
    limits = [("{} MACs", budget.macs), ("{} parameters", budget.params), ("{} of the latency", budget.latency)]
    if budget.latency is not None and budget.latency > 1:
        limits[-1] = ("{} ms", budget.latency)
    return ", ".join(words.format(_amount(value)) for words, value in limits if value is not None)


def title_text(params: Params) -> str:
    """What was pruned, to which budget, on which data, in words that people know it by."""
    return f"{params.model.name} at {budget_text(params)}, on {_data_text(params)}"


def _data_text(params: Params) -> str:
    source, options = params.data.source, params.data.options
    if source == "digits":
        return "scikit-learn's handwritten digits"
    if source.startswith("torchvision:"):
        return source.removeprefix("torchvision:")
    train = options.get("train")
    place = train[0] if isinstance(train, list) and train else train
    # Where on this machine it lies is not for those who are shown the report.
    return "/".join(Path(place).parts[-2:]) if isinstance(place, str) else source


def registered_name(params: Params) -> str:
    """Name of the registered model that winners of this network and budget are versions of."""
    budget = budget_text(params).replace("%", " percent")
    return re.sub(r"[^A-Za-z0-9_.]+", "-", f"{params.model.name} {budget}").strip("-")


def _amount(value: float) -> str:
    return f"{100 * value:g}%" if value <= 1 else f"{value:,.6g}" if value < 1000 else f"{value:,.0f}"
