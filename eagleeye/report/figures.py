"""The pictures of a report, as matplotlib figures; every one of them in a light and a dark theme."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from eagleeye.report.data import EVEN, ReportData
from eagleeye.report.drawing import Picture
from eagleeye.report.theme import Theme, label, legend, new_figure, shortened
from eagleeye.report.units import named, of_score, percent
from eagleeye.task import CLASSIFICATION
from eagleeye.task.scores import VANILLA

ROWS_PER_COLUMN = 30


def pictures(data: ReportData) -> list[Picture]:
    """All figures of a report, in order.

    Args:
        data: The report.

    Returns:
        The figures, not drawn yet.
    """
    by = data.by.first
    scores = data.candidates[by.name]
    spread = (
        f"{len(scores)} candidates score between {of_score(scores.min(), by, 1)} and {of_score(scores.max(), by, 1)}"
    )
    kept = f"{percent(data.pruned.macs / data.baseline.macs, 1)} of the MACs"
    compared = " and without recalibration (vanilla)" if data.has_vanilla else ""
    return [
        Picture(
            "scores",
            "Scores before fine-tuning",
            f"How many candidates reached which {by.label}, with recalibrated batch norm (adaptive){compared}.",
            f"Histogram: {spread} with adaptive batch norm; the winner {data.pruned.name} has "
            f"{of_score(float(data.winner[by.name]), by, 1)}.",
            lambda theme: score_distribution(data, theme),
        ),
        Picture(
            "score_against_cost",
            "Score against cost",
            "Every dot is a candidate. All meet the budget; the spread in height is what the search exploits.",
            f"Two scatter plots of score against MACs and against parameters: {spread}.",
            lambda theme: score_against_cost(data, theme),
        ),
        Picture(
            "widths",
            "Channels kept per layer",
            "Each bar is a prunable group, in order of execution: the coloured part stays, the grey part was removed.",
            f"Bar chart of the channels kept in {len(data.groups)} groups; all of them are in the table below.",
            lambda theme: widths(data, theme),
        ),
        Picture(
            "fine_tuning",
            "Fine-tuning",
            f"{named(by)} on the sub-validation images and training loss after each epoch. "
            "The ringed epoch was kept; the test set was not looked at.",
            f"Line charts of {by.label} and loss over the epochs of the network with {kept}.",
            lambda theme: fine_tuning(data, theme),
        ),
    ]


def score_distribution(data: ReportData, theme: Theme) -> Figure:
    """Histogram of the candidates' scores, adaptive and, where there are any, vanilla (paper, figure 3).

    Args:
        data: The report.
        theme: Colours.

    Returns:
        The figure.
    """
    figure, (axes,) = new_figure(theme, 9.2, 3.6)
    name = data.by.name
    factor = data.by.first.evidence.factor
    series = {"adaptive": (factor * data.candidates[name], theme.first)}
    if data.has_vanilla:
        series["vanilla"] = (factor * data.candidates[VANILLA + name].dropna(), theme.second)
    values = np.concatenate([scores.to_numpy(dtype=float) for scores, _ in series.values()])
    # Half a point; of scores that are no shares, a fiftieth of their size.
    edges = _edges(values, 0.5 if data.by.first.evidence.unit == "%" else max(0.02 * float(np.abs(values).max()), 1e-9))
    for kind, (scores, colour) in series.items():
        hatch = "////" if kind == "vanilla" else None
        axes.hist(scores, edges.tolist(), label=kind, color=colour, alpha=0.8, hatch=hatch, edgecolor=theme.paper)
    label(axes, theme, _axis(data), "Candidates")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="x", visible=False)
    axes.margins(y=0.25)
    _mark(axes, theme, factor * float(data.winner[name]), f"winner {data.pruned.name}", theme.third)
    chance = 100 / data.classes if data.task is CLASSIFICATION else -math.inf
    if edges[0] - (edges[-1] - edges[0]) / 2 <= chance:
        _mark(axes, theme, chance, "chance", theme.muted)
    if len(series) > 1:
        legend(figure, axes, theme)
    return figure


def score_against_cost(data: ReportData, theme: Theme) -> Figure:
    """Score of every candidate against its MACs and against its parameters.

    Args:
        data: The report.
        theme: Colours.

    Returns:
        The figure.
    """
    figure, both = new_figure(theme, 9.2, 3.6, columns=2)
    even = data.ranking[data.ranking["id"] == EVEN]
    for axes, cost, name in zip(both, ("macs_fraction", "params_fraction"), ("MACs", "Parameters"), strict=True):
        rest = data.candidates[data.candidates["id"] != data.pruned.name]
        winner = data.ranking[data.ranking["id"] == data.pruned.name]
        _dots(axes, data, rest, cost, "candidate", marker="o", s=22, color=theme.first, alpha=0.6, linewidths=0)
        _dots(axes, data, even, cost, "evenly pruned", marker="D", s=48, color=theme.second)
        _dots(axes, data, winner, cost, f"winner {data.pruned.name}", marker="*", s=190, color=theme.third)
        label(axes, theme, f"{name} (% of the full network)", _axis(data) if cost == "macs_fraction" else "", name)
        axes.margins(0.08)
    both[1].sharey(both[0])
    legend(figure, both[0], theme)
    return figure


def widths(data: ReportData, theme: Theme) -> Figure:
    """Share of its channels that every group keeps, with the numbers before and after.

    Bars are as long as the group's own width, so that a layer of 16 channels stays legible beside one of 2048.

    Args:
        data: The report.
        theme: Colours.

    Returns:
        The figure.
    """
    before = data.groups["channels"].to_numpy()
    after = np.asarray(data.winner["widths"])
    names = data.groups["name"].to_numpy()
    columns = 1 if len(names) <= ROWS_PER_COLUMN else 2
    rows = math.ceil(len(names) / columns)
    figure, axes = new_figure(theme, 9.2, 0.85 + 0.23 * rows, columns)
    for column, each in enumerate(axes):
        part = slice(column * rows, (column + 1) * rows)
        _bars(each, theme, names[part], before[part], after[part])
        each.set_ylim(rows - 0.4, -0.6)
        label(each, theme, "Channels kept (%)", "")
    return figure


def fine_tuning(data: ReportData, theme: Theme) -> Figure:
    """Validation score and training loss over the epochs of every fine-tuned network.

    Args:
        data: The report.
        theme: Colours.

    Returns:
        The figure.
    """
    figure, (left, right) = new_figure(theme, 9.2, 3.6, columns=2)
    deciding = [data.by.first, data.by.second]
    columns = [f"validation_{scorer.name}" for scorer in deciding]
    factor = data.by.first.evidence.factor
    for name, rows in data.history.groupby("id", sort=False):
        colour, line = _series_style(str(name), data, theme)
        left.plot(rows["epoch"], factor * rows[columns[0]], line, color=colour, label=_label_of(name, data))
        right.plot(rows["epoch"], rows["train_loss"], line, color=colour)
        best = rows.sort_values(columns, ascending=[scorer.sign < 0 for scorer in deciding]).iloc[0]
        left.plot(
            best["epoch"],
            factor * best[columns[0]],
            "o",
            color=colour,
            markersize=9,
            markerfacecolor="none",
            markeredgewidth=1.8,
        )
    label(left, theme, "Epoch", _axis(data), named(data.by.first))
    label(right, theme, "Epoch", "Loss", "Training loss")
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.04, y=0.12)
    legend(figure, left, theme)
    return figure


def _edges(values: np.ndarray, least: float) -> np.ndarray:
    """Bin edges that suit all series together: between 12 and 40 bins, however few or equal the scores are."""
    low = float(values.min())
    high = float(values.max())
    if high - low < least:
        low = low - least / 2
        high = high + least / 2
    count = int(np.clip(2 * math.sqrt(len(values)), 12, 40))
    return np.linspace(low, high, count + 1)


def _mark(axes: Axes, theme: Theme, x: float, text: str, colour: str) -> None:
    axes.axvline(x, color=colour, linewidth=1.6, linestyle=(0, (4, 2)))
    axes.annotate(
        text,
        (x, 1.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(0, 3),
        textcoords="offset points",
        color=colour,
        fontsize=9,
        ha="center",
        va="bottom",
    )


def _dots(axes: Axes, data: ReportData, table: pd.DataFrame, cost: str, name: str, **style: Any) -> None:
    if len(table):
        axes.scatter(100 * table[cost], data.by.first.evidence.factor * table[data.by.name], label=name, **style)


def _axis(data: ReportData) -> str:
    by = data.by.first
    return f"{named(by)}, sub-validation images ({by.evidence.unit})"


def _bars(axes: Axes, theme: Theme, names: np.ndarray, before: np.ndarray, after: np.ndarray) -> None:
    y = np.arange(len(names))
    axes.barh(y, 100, color=theme.faint, height=0.66)
    axes.barh(y, 100 * after / before, color=theme.first, height=0.66)
    for row, (full, kept) in enumerate(zip(before, after, strict=True)):
        axes.text(102, row, f"{full} → {kept}", va="center_baseline", fontsize=8.5, color=theme.ink)
    shown = [shortened(name) for name in names]
    axes.set_yticks(y, shown, fontsize=8.5, color=theme.ink)
    axes.set_xlim(0, 124)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.grid(False)


def _series_style(name: str, data: ReportData, theme: Theme) -> tuple[str, str]:
    if name == data.pruned.name:
        return theme.third, "-"
    return (theme.second, "--") if name == EVEN else (theme.muted, ":")


def _label_of(name: object, data: ReportData) -> str:
    if name == data.pruned.name:
        return f"winner {name}"
    return "evenly pruned" if name == EVEN else str(name)
