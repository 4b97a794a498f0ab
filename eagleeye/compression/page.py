"""The page about a compression: one file that needs nothing beside itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from eagleeye.files import written_whole
from eagleeye.latency.measure import compare_latency
from eagleeye.report.drawing import Picture, as_png, embedded, fill
from eagleeye.report.theme import DARK, LIGHT, Theme, label, new_figure

if TYPE_CHECKING:
    from eagleeye.compression.result import Compressed

LEADERS = 10
_VALIDATION = "validation_"
REPEATS = 15
SHOWN = 3
"""Scores at most, the one that decided among them."""


def write_page(result: Compressed, path: str | Path) -> None:
    """Write the page; the latencies of both networks are measured for it.

    Args:
        result: What to show.
        path: The HTML file, or a folder to put `report.html` into.

    Raises:
        ArtifactError: The file cannot be written.
    """
    path = Path(path)
    page = _page(result)
    with written_whole(path / "report.html" if path.suffix != ".html" else path) as beside:
        beside.write_text(page, encoding="utf-8")


def _page(result: Compressed) -> str:
    networks = {"full": result.full_model, "pruned": result.model}
    times = compare_latency(networks, result.example, batch_sizes=(1,), repeats=REPEATS)
    milliseconds = dict(zip(times["model"], times["median_ms"], strict=True))
    names = _shown(result)
    rows = (
        ("full", result.full_scores, result.full_metrics, result.full_cost, milliseconds["full"]),
        (f"pruned ({result.winner})", result.scores, result.metrics, result.cost, milliseconds["pruned"]),
    )
    picture = _picture(result)
    light, dark = (embedded(as_png(picture.draw(theme))) for theme in (LIGHT, DARK))
    return fill(
        "compressed.html",
        data=SimpleNamespace(
            title=f"{type(result.full_model).__name__}, pruned",
            settings={f"{name.replace('_', '-')} images": f"{count:,}" for name, count in result.images.items()},
            **{name: getattr(result, name) for name in ("winner", "cost", "full_cost", "remarks")},
        ),
        figures=[{"picture": picture, "light": light, "dark": dark}],
        images=result.images,
        candidates=len(result.ranking),
        labels=[*(result.task.scorers[name].label for name in names), *result.metrics],
        label=result.scorer.label,
        networks=[
            (row, [*(_text(result, key, scores[key]) for key in names), *map("{:.4f}".format, metrics.values())], *rest)
            for row, scores, metrics, *rest in rows
        ],
        leaders=_leaders(result),
        # What a loop of the user's own has told has columns of its own.
        chosen_by=_chosen_by(result) if "training" in result.images else "",
        epochs=_epochs(result) if "training" in result.images else [],
        widths=list(zip(_groups(result), result.space.channels, result.ranking["widths"].iloc[0], strict=True)),
    )


def _leaders(result: Compressed) -> list[dict[str, object]]:
    by = result.scored_by
    columns = {"score": by, "low": "score_low", "high": "score_high"}
    leaders = result.ranking.head(LEADERS)
    texts = {name: [_text(result, by, value) for value in leaders[column]] for name, column in columns.items()}
    return [{str(key): value for key, value in row.items()} for row in leaders.assign(**texts).to_dict("records")]


def _text(result: Compressed, score: str, value: float) -> str:
    return result.task.scorers[score].evidence.text(value)


def _chosen_by(result: Compressed) -> str:
    """What the score is called that chose the best epoch."""
    scorer = result.task.scorers[_validation(result)]
    labelled = any(not result.task.scorers[name].compares for name in result.scores)
    # Without labels, the full network's answers took their place.
    return scorer.label if labelled or scorer.compares else "agreement"


def _validation(result: Compressed) -> str:
    found = [str(name) for name in result.history.columns if str(name).startswith(_VALIDATION)]
    return found[0].removeprefix(_VALIDATION)


def _epochs(result: Compressed) -> list[dict[str, object]]:
    name = _validation(result)
    return [
        {"epoch": row["epoch"], "train_loss": row["train_loss"], "score": _text(result, name, row[_VALIDATION + name])}
        for row in result.history.to_dict("records")
    ]


def _shown(result: Compressed) -> list[str]:
    """The score that decided, and the first of those that are fractions."""
    others = [name for name in result.scores if result.task.scorers[name].sign > 0 and name != result.scored_by]
    shown = {result.scored_by, *others[: SHOWN - 1]}
    return [name for name in result.scores if name in shown]


def _groups(result: Compressed) -> list[str]:
    return [group.name for group in result.space.groups]


def _picture(result: Compressed) -> Picture:
    scores = result.ranking[result.scored_by]
    name = result.scorer.label
    return Picture(
        "scores",
        "Scores and costs of all candidates",
        "Every dot is a candidate, the star the winner. All meet the budget; the spread in height is what the search"
        " exploits. Those that were out early were scored on fewer images.",
        f"Scatter plot of {name} against MACs: {len(scores)} candidates from {scores.min():.4g} to {scores.max():.4g}.",
        lambda theme: _scatter(result, theme),
    )


def _scatter(result: Compressed, theme: Theme) -> Figure:
    figure, (axes,) = new_figure(theme, 9.2, 3.6)
    share = 100 * result.ranking["macs"] / result.full_cost.macs
    kind = result.scorer.evidence
    scores = kind.factor * result.ranking[result.scored_by]
    axes.scatter(share[1:], scores[1:], s=22, color=theme.first, alpha=0.6, linewidths=0)
    axes.scatter(share[:1], scores[:1], s=190, marker="*", color=theme.third)
    label(axes, theme, "MACs (% of the full network)", f"{result.scorer.label} ({kind.unit})")
    axes.margins(0.08)
    return figure
