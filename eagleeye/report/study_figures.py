"""The figures of a correlation study, after the paper's own (its figures 3 to 5), for any network."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from eagleeye.report.drawing import Picture
from eagleeye.report.study_data import StudyData
from eagleeye.report.theme import Theme, label, legend, new_figure, shortened
from eagleeye.report.units import interval, level, named, percent
from eagleeye.study.correlation import CEILING
from eagleeye.task.scores import VANILLA

MEASURES = {"pearson": "Pearson", "spearman": "Spearman", "kendall": "Kendall"}


def study_pictures(data: StudyData) -> list[Picture]:
    """All figures of a study, in order; those of BN statistics only where the network has any.

    Args:
        data: The study.

    Returns:
        The figures, not drawn yet.
    """
    vanilla, adaptive = (data.estimate(kind + data.by.name, "spearman").value for kind in (VANILLA, ""))
    found = [
        Picture(
            "scores_and_accuracies",
            "Scores before and after",
            f"How many candidates have which {data.by.label}: scored without recalibration (vanilla), with recalibrated"
            " batch norm (adaptive), and after fine-tuning.",
            "Three histograms over one axis: vanilla scores, adaptive scores, scores after fine-tuning.",
            lambda theme: histograms(data, theme),
        ),
        Picture(
            "correlation",
            "Does the score tell the score after fine-tuning?",
            "Every dot is a candidate; its line spans the fine-tunings with other seeds. "
            f"Brackets: {level(data.level)} intervals, over candidates.",
            f"Two scatter plots against the score after fine-tuning: Spearman {vanilla:.2f} for the vanilla score, "
            f"{adaptive:.2f} for the adaptive one.",
            lambda theme: scatters(data, theme),
        ),
        Picture(
            "coefficients",
            "All scores compared",
            "Rank correlation with the score after fine-tuning, and what is lost by fine-tuning the score's "
            f"favourite instead of the best; lines are {level(data.level)} intervals.",
            "Dots with intervals, one row per score; the numbers are in the table.",
            lambda theme: forest(data, theme),
        ),
    ]
    if len(data.weights):
        found.append(
            Picture(
                "weight_shift",
                "Weights before and after fine-tuning",
                f"Of candidate {data.shown}. The less weights move, the more a score before fine-tuning can tell.",
                f"Histograms of the weights of {len(data.weights)} layers, before and after fine-tuning.",
                lambda theme: weight_shift(data, theme),
            )
        )
    if len(data.statistics):
        found.append(
            Picture(
                "statistics",
                "Distance of BN statistics to those after fine-tuning",
                "Layer by layer, median over all fine-tunings; the shade holds the middle half of them. Means are in "
                "units of the fine-tuned standard deviation, variances relative to the fine-tuned ones.",
                "Two line charts over the layers: the full network's statistics (vanilla), and recalibrated ones.",
                lambda theme: statistics(data, theme),
            )
        )
    return found


def histograms(data: StudyData, theme: Theme) -> Figure:
    """Vanilla scores, adaptive scores and accuracies after fine-tuning, one below the other over one axis."""
    figure, axes = new_figure(theme, 9.2, 4.6, rows=3)
    series = [
        (VANILLA + data.by.name, "Score, vanilla", theme.second),
        (data.by.name, "Score, adaptive BN", theme.first),
        (data.after, "After fine-tuning", theme.third),
    ]
    factor = data.by.evidence.factor
    values = factor * data.drawn[[name for name, _, _ in series]].to_numpy(dtype=float)
    low = float(values.min())
    high = float(values.max())
    margin = max(0.02 * (high - low), 0.5 if factor > 1 else 0.0) or 1e-6
    edges = np.linspace(low - margin, high + margin, 51).tolist()
    for each, (name, title, colour) in zip(axes, series, strict=True):
        each.hist(factor * data.drawn[name], edges, color=colour, edgecolor=theme.paper)
        label(each, theme, _axis(data) if each is axes[-1] else "", "Candidates", title)
        each.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        each.grid(axis="x", visible=False)
        each.sharex(axes[-1])
    for each in axes[:-1]:
        each.tick_params(labelbottom=False)
    return figure


def scatters(data: StudyData, theme: Theme) -> Figure:
    """Vanilla and adaptive score against the accuracy after fine-tuning, with the coefficients (paper, figure 4)."""
    figure, both = new_figure(theme, 9.2, 4.6, columns=2)
    scores = (VANILLA + data.by.name, data.by.name)
    for axes, score, colour in zip(both, scores, (theme.second, theme.first), strict=True):
        _points(axes, data, data.drawn, score, "candidate", marker="o", markersize=5, color=colour, alpha=0.75)
        _points(axes, data, data.references, score, "evenly pruned", marker="D", markersize=7, color=theme.ink)
        kind = "vanilla" if score.startswith(VANILLA) else "adaptive BN"
        label(axes, theme, f"Before fine-tuning, {kind}: {_axis(data)}", f"After fine-tuning: {_axis(data)}")
        found = (f"{name} {interval(*data.estimate(score, measure))}" for measure, name in MEASURES.items())
        axes.set_title("\n".join(found), color=theme.ink, fontsize=9, loc="left", linespacing=1.4)
        axes.margins(0.08)
    both[1].sharey(both[0])
    both[1].set_ylabel("")
    legend(figure, both[0], theme)
    return figure


def forest(data: StudyData, theme: Theme) -> Figure:
    """Spearman's coefficient and regret of every score, with intervals."""
    figure, (left, right) = new_figure(theme, 9.2, 1.1 + 0.3 * len(data.scores), columns=2)
    names = [data.names[score] for score in data.scores]
    for axes, measure in ((left, "spearman"), (right, "regret")):
        for row, score in enumerate(data.scores):
            if measure == "regret" and score == CEILING:
                continue
            value, low, high = data.estimate(score, measure)
            colour = _colour(score, theme)
            if math.isfinite(low):
                axes.plot([low, high], [row, row], color=colour, linewidth=2, solid_capstyle="round")
            axes.plot([value], [row], "o", color=colour, markersize=6.5)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_yticks(range(len(names)), names if axes is left else [], fontsize=8.5, color=theme.ink)
    left.axvline(0, color=theme.muted, linewidth=1)
    label(left, theme, "Spearman's rank correlation", "", "Correlation")
    label(right, theme, f"{'Points lost' if data.by.evidence.unit == '%' else 'Lost'} by its choice", "", "Regret")
    right.set_xlim(left=min(0.0, right.get_xlim()[0]))
    return figure


def weight_shift(data: StudyData, theme: Theme) -> Figure:
    """Distributions of the weights of a few layers before and after fine-tuning."""
    figure, axes = new_figure(theme, 9.2, 3.3, columns=len(data.weights))
    for each, row in zip(axes, data.weights.to_dict("records"), strict=True):
        edges = np.asarray(row["edges"])
        each.stairs(row["before"], edges, fill=True, color=theme.second, alpha=0.35, label="before fine-tuning")
        each.stairs(row["after"], edges, color=theme.third, linewidth=1.6, label="after fine-tuning")
        moved = f"Weight (moved by {percent(row['shift'], 1)} of their spread)"
        label(each, theme, moved, "Weights" if each is axes[0] else "", shortened(row["layer"] or "convolution"))
        each.grid(axis="x", visible=False)
        each.xaxis.set_major_locator(MaxNLocator(4))
        each.margins(y=0.2)
    legend(figure, axes[0], theme)
    return figure


def statistics(data: StudyData, theme: Theme) -> Figure:
    """Distance of vanilla and adaptive BN statistics to those after fine-tuning, layer by layer (paper, figure 5)."""
    figure, both = new_figure(theme, 9.2, 3.8, columns=2)
    layers = list(dict.fromkeys(data.statistics["layer"]))
    places = np.arange(1, len(layers) + 1)
    for axes, kind, title in zip(both, ("mean", "variance"), ("Means", "Variances"), strict=True):
        for who, colour in (("vanilla", theme.second), ("adaptive", theme.first)):
            grouped = data.statistics.groupby("layer", sort=False)[f"{who}_{kind}"]
            low, middle, high = (grouped.quantile(share).reindex(layers).to_numpy() for share in (0.25, 0.5, 0.75))
            axes.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(places, middle, "o-", color=colour, markersize=4, linewidth=1.6, label=who)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.tick_params(which="minor", length=0)
        label(axes, theme, "BN layer, in the network's order", "Relative distance", title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    both[1].set_ylabel("")
    legend(figure, both[0], theme)
    return figure


def _points(axes: Axes, data: StudyData, table: pd.DataFrame, score: str, name: str, **style: Any) -> None:
    if not len(table):
        return
    factor = data.by.evidence.factor
    y = factor * table[data.after]
    spread = [y - factor * table["test_low"], factor * table["test_high"] - y]
    axes.errorbar(factor * table[score], y, yerr=spread, label=name, linestyle="none", elinewidth=1, **style)


def _axis(data: StudyData) -> str:
    return f"{named(data.by)} ({data.by.evidence.unit})"


def _colour(score: str, theme: Theme) -> str:
    if score == CEILING:
        return theme.third
    return theme.second if score.startswith(VANILLA) else theme.first
