"""What the tracking server shows of a search: figures, keys, run names, the description."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

FIGURES = (
    "accuracy",
    "loss",
    "vanilla_accuracy",
    "vanilla_loss",
    "macs",
    "params",
    "macs_fraction",
    "params_fraction",
)
LONGEST_KEY, LONGEST_VALUE = 250, 6000


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
        accuracy: Top-1 on the sub-validation images, in [0, 1].
        loss: Mean cross-entropy there.
        vanilla_accuracy: Without recalibration; None where not scored.
        vanilla_loss: Without recalibration; None where not scored.
        seconds: Time of the evaluation; None where not measured.
    """

    id: str
    origin: str
    rates: Mapping[str, float]
    macs: int
    params: int
    macs_fraction: float
    params_fraction: float
    accuracy: float
    loss: float
    vanilla_accuracy: float | None = None
    vanilla_loss: float | None = None
    seconds: float | None = None

    def figures(self) -> dict[str, float]:
        """What becomes a metric."""
        values = {name: getattr(self, name) for name in (*FIGURES, "seconds")}
        return {name: float(value) for name, value in values.items() if value is not None}


def key(name: str) -> str:
    """A name as the key of a param or metric: letters, digits, ``_-. :/``, no empty or dotted path part."""
    safe = re.sub(r"[^\w\-. :/]", "_", name)
    return re.sub(r"(^|/)(?=/|\.{0,2}(/|$))", r"\1_", safe)[:LONGEST_KEY]


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


def run_name(what: str, accuracy: float, *, winner: bool = False) -> str:
    """Name of a nested run: who it is and how good, e.g. ``s0017 · 0.6123``."""
    return f"{what} · {accuracy:.4f}" + (" · winner" if winner else "")


def describe(
    params: Mapping[str, str], metrics: Mapping[str, float], winner: str | None, changed: Mapping[str, str]
) -> str:
    """The description of a search, in Markdown.

    Args:
        params: The parent's params.
        metrics: The parent's metrics; pairs ``baseline_X`` and ``pruned_X`` become the rows of a table.
        winner: The winner's id, once known.
        changed: Settings that have changed since they were recorded, with their values now.
    """
    model, source = params.get("model.name", "a network"), params.get("data.source", "its data")
    lines = [f"Search for a smaller **{model}** on **{source}**."]
    if winner is not None:
        best = f", sub-validation accuracy {metrics['accuracy']:.4f}" if "accuracy" in metrics else ""
        macs = f" with {metrics['macs_fraction']:.1%} of the MACs" if "macs_fraction" in metrics else ""
        lines.append(f"Winner: candidate **{winner}**{macs}{best}.")
    measures = [name.removeprefix("baseline_") for name in metrics if name.startswith("baseline_")]
    rows = [name for name in measures if f"pruned_{name}" in metrics]
    if rows:
        lines.append(
            "\n".join(["| | full | pruned | change |", "|---|---:|---:|---:|", *(_row(n, metrics) for n in rows)])
        )
        lines.append("Artefacts: `report/` (page and figures), `ranking.json` (every candidate), the checkpoint.")
    if changed:
        listed = ", ".join(f"`{name}` = {value}" for name, value in changed.items())
        lines.append(f"Settings changed since the search was first recorded: {listed}.")
    return "\n\n".join(lines)


def _row(measure: str, metrics: Mapping[str, float]) -> str:
    full, pruned = metrics[f"baseline_{measure}"], metrics[f"pruned_{measure}"]
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
