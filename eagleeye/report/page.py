"""The report as one self-contained page, with its figures and numbers beside it as files."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from eagleeye.files import written_whole
from eagleeye.report import units
from eagleeye.report.data import EVEN, Network, ReportData
from eagleeye.report.drawing import draw, fill
from eagleeye.report.examples import example_picture
from eagleeye.report.figures import pictures
from eagleeye.report.metrics import metrics
from eagleeye.report.speed import FLOOR, NAMES, reasons
from eagleeye.report.verdicts import verdicts
from eagleeye.scoring.paired import compare
from eagleeye.task import Scorer
from eagleeye.task.scores import VANILLA

LEADERS = 10
DISTURBED = 2.0
"""On an idle machine a slow pass takes hardly a tenth longer than a fast one."""


def write_report(data: ReportData, folder: str | Path) -> dict[str, float]:
    """Write ``report.html``, ``report.json`` and a PNG per figure.

    The page needs nothing beside itself: figures are embedded, in a light and a dark version.

    Args:
        data: What to show.
        folder: Where to write; created where it is missing.

    Returns:
        What ``report.json`` holds, see `eagleeye.report.metrics.metrics`.

    Raises:
        ArtifactError: A file cannot be written.
    """
    folder = Path(folder)
    shown = [] if data.examples is None else [example_picture(data.examples)]
    figures = draw([*shown, *pictures(data)], folder)
    page = render(data, figures)
    with written_whole(folder / "report.html") as path:
        path.write_text(page, encoding="utf-8")
    flat = metrics(data)
    with written_whole(folder / "report.json") as path:
        path.write_text(json.dumps(flat, indent=2) + "\n", encoding="utf-8")
    return flat


def render(data: ReportData, figures: list[dict[str, Any]]) -> str:
    """Fill in the page.

    Args:
        data: What to show.
        figures: Per figure the `Picture` and its two versions as data addresses.

    Returns:
        HTML.
    """
    return fill(
        "report.html",
        data=data,
        figures=figures,
        metrics=metrics(data),
        warnings=[*data.warnings, *_observations(data)],
        leaders=_rows(data.candidates.head(LEADERS), data.ranked_by),
        references=_rows(data.ranking[data.ranking["rank"].isna()], data.ranked_by),
        ranked_by=data.ranked_by.label,
        by=data.by,
        vanilla=VANILLA + data.by.name,
        networks=_networks(data),
        verdicts=_verdicts(data),
        latency=data.latency.to_dict("records"),
        floor=FLOOR,
        reasons=reasons(data),
        parts=data.parts.to_dict("records"),
        part_names=NAMES,
        widths=zip(data.groups["name"], data.groups["channels"], data.winner["widths"], strict=True),
    )


def _networks(data: ReportData) -> list[tuple[str, Network]]:
    """All networks with what to call them."""
    others = [("evenly pruned" if other.name == EVEN else other.name, other) for other in data.others]
    return [("full", data.baseline), (f"pruned ({data.pruned.name})", data.pruned), *others]


def _rows(ranking: pd.DataFrame, by: Scorer) -> list[dict[str, Any]]:
    """Rows of the ranking, with the interval of the score that ranks as text."""
    rows = [{str(name): value for name, value in row.items()} for row in ranking.to_dict("records")]
    for row in rows:
        text = by.evidence.text
        row["interval"] = f"{text(row['score_low'], exact=False)} to {text(row['score_high'], exact=False)}"
        row["beats_next"] = "" if pd.isna(row["beats_next"]) else units.percent(row["beats_next"], 0)
    return rows


def _verdicts(data: ReportData) -> list[str]:
    even = None if data.even is None else data.even.evidence
    return verdicts(data.pruned.name, data.pruned.evidence, data.baseline.evidence, even)


def _observations(data: ReportData) -> list[str]:
    """What the numbers themselves warn of."""
    found = []
    if data.pruned.name == EVEN:
        found.append(
            "The evenly pruned network, one rate for all layers, is the winner: no other candidate was better on the "
            "sub-validation images. To look for one, draw more candidates or score them on more images."
        )
    even = data.even
    if even is not None and (ahead := compare(even.evidence, data.pruned.evidence)).difference > 0:
        sure = "" if ahead.decided else ", which may be chance"
        found.append(
            f"The evenly pruned network is ahead of the winner after fine-tuning, by"
            f" {units.change_of(ahead.difference, data.by.first)}"
            f"{sure}: draw more candidates, score them on more images, or fine-tune longer."
        )
    speedups = data.latency[data.latency["model"] == "pruned"]["speedup"]
    if len(speedups) and speedups.max() < 1.05:
        found.append(
            "The pruned network is not faster here; why is told beside the measured latency. Measure on the target "
            "device, with its batch size."
        )
    spread = (data.latency["p90_ms"] / data.latency["p10_ms"]).max()
    if spread > DISTURBED:
        found.append(
            f"The machine was busy while latencies were measured: the same pass took up to {spread:.1f} times as long"
            " as another. Take them as rough, and run `dvc repro -f -s report` on an idle machine."
        )
    return found
