"""What the tracking server shows of a search: figures, keys, names."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eagleeye.task import CLASSIFICATION, Order, Task
from tasks.params import Params

SEARCH = "eagleeye.search"
CANDIDATE = "eagleeye.candidate"
FINETUNE = "eagleeye.finetune"
WINNER = "eagleeye.winner"
CHANGED = "eagleeye.changed"
OUTCOME = "eagleeye.outcome"
UPLOADS = "eagleeye.uploads"
STUDY = "eagleeye.study"
COSTS = ("macs", "params", "macs_fraction", "params_fraction")
LONGEST_KEY = 250
LONGEST_VALUE = 6000  # MLflow's limits


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


@dataclass(frozen=True)
class Terms:
    """What a search's task calls its scores: plain values, which are shown even where the task's code is gone.

    Attributes:
        scores: 1 by each score's name, or -1 where less is better, in their order.
        ranked_by: The score that ranks.
        first: The score that chooses an epoch and is told of the test images.
        second: The one that decides between equals.
        percent: Whether the first is a share.
        metrics: Of the whole test set.
    """

    scores: Mapping[str, int]
    ranked_by: str
    first: str
    second: str
    percent: bool
    metrics: Sequence[str] = ()

    @property
    def final(self) -> str:
        """The metric of the first score on the test images."""
        return final(self.first)

    @property
    def finals(self) -> list[str]:
        """All metrics of the test images."""
        return [final(name) for name in (self.first, self.second, *self.metrics)]

    @property
    def validated(self) -> list[str]:
        """The curves of both scores in training."""
        return [f"validation_{name}" for name in (self.first, self.second)]

    def text(self, value: float) -> str:
        """The first score for people."""
        return f"{value:.2%}" if self.percent else f"{value:.4f}"


def terms_of(task: Task, by: Order) -> Terms:
    """What a task calls its scores.

    Args:
        task: The task.
        by: What ranks.
    """
    shown = task.order()
    signs = {name: scorer.sign for name, scorer in task.scorers.items()}
    return Terms(signs, by.name, shown.name, shown.second.name, shown.first.evidence.unit == "%")


CLASSES = terms_of(CLASSIFICATION, CLASSIFICATION.order())


def final(name: str) -> str:
    """What a score or metric of the test images is called among a run's metrics."""
    return key(f"final_{name.replace(' ', '_')}")


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
    source = params.data.source
    options = params.data.options
    if source == "digits":
        return "scikit-learn's handwritten digits"
    if source == "scenes":
        return "scenes of scikit-learn's handwritten digits"
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
