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
from eagleeye.scoring.scores import SCORERS

if TYPE_CHECKING:
    from eagleeye.compression.result import Compressed

LEADERS = 10
REPEATS = 15
SHOWN = ("accuracy", "agreement")
"""Scores beside the one that decided."""


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
    names = [name for name in result.scores if name in {result.scored_by, *SHOWN}]
    rows = (
        ("full", result.full_scores, result.full_cost, milliseconds["full"]),
        (f"pruned ({result.winner})", result.scores, result.cost, milliseconds["pruned"]),
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
        labelled="accuracy" in result.scores,
        candidates=len(result.ranking),
        labels=[SCORERS[name].label for name in names],
        label=SCORERS[result.scored_by].label,
        networks=[(name, [_text(key, scores[key]) for key in names], cost, time) for name, scores, cost, time in rows],
        leaders=_leaders(result),
        epochs=[{str(key): value for key, value in row.items()} for row in result.history.to_dict("records")],
        widths=list(zip(_groups(result), result.space.channels, result.ranking["widths"].iloc[0], strict=True)),
    )


def _leaders(result: Compressed) -> list[dict[str, object]]:
    by = result.scored_by
    columns = {"score": by, "low": "score_low", "high": "score_high"}
    leaders = result.ranking.head(LEADERS)
    texts = {name: [_text(by, value) for value in leaders[column]] for name, column in columns.items()}
    return [{str(key): value for key, value in row.items()} for row in leaders.assign(**texts).to_dict("records")]


def _text(score: str, value: float) -> str:
    return SCORERS[score].evidence.text(value)


def _groups(result: Compressed) -> list[str]:
    return [group.name for group in result.space.groups]


def _picture(result: Compressed) -> Picture:
    scores = result.ranking[result.scored_by]
    name = SCORERS[result.scored_by].label
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
    scale = 100 if SCORERS[result.scored_by].sign > 0 else 1
    scores = scale * result.ranking[result.scored_by]
    axes.scatter(share[1:], scores[1:], s=22, color=theme.first, alpha=0.6, linewidths=0)
    axes.scatter(share[:1], scores[:1], s=190, marker="*", color=theme.third)
    unit = "%" if scale == 100 else "nats"
    label(axes, theme, "MACs (% of the full network)", f"{SCORERS[result.scored_by].label} ({unit})")
    axes.margins(0.08)
    return figure
