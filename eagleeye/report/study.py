"""The page of a correlation study."""

from pathlib import Path

from eagleeye.files import written_whole
from eagleeye.report.drawing import draw, fill
from eagleeye.report.study_data import StudyData
from eagleeye.report.study_figures import MEASURES, study_pictures
from eagleeye.report.units import interval
from eagleeye.study.correlation import CEILING
from eagleeye.task import Scorer
from eagleeye.task.scores import VANILLA

PAGE = "study.html"


def write_study(data: StudyData, folder: str | Path) -> None:
    """Write ``study.html``, which needs nothing beside itself, and a PNG per figure.

    Args:
        data: What to show.
        folder: Where to write; created where it is missing.

    Raises:
        ArtifactError: A file cannot be written.
    """
    folder = Path(folder)
    page = fill(
        PAGE,
        data=data,
        figures=draw(study_pictures(data), folder),
        rows=coefficient_rows(data),
        answer=answer(data),
        names=data.names,
        first=data.by,
        vanilla=VANILLA + data.by.name,
        shown=[scorer for scorer in data.task.scorers.values() if scorer.compares],
    )
    with written_whole(folder / PAGE) as path:
        path.write_text(page, encoding="utf-8")


def coefficient_rows(data: StudyData) -> list[list[str]]:
    """The coefficients as a table for people: score, Pearson, Spearman, Kendall, points lost by its choice."""
    rows = []
    for score in data.scores:
        cells = [interval(*data.estimate(score, measure)) for measure in MEASURES]
        rows.append([data.names[score], *cells, "" if score == CEILING else interval(*data.estimate(score, "regret"))])
    return rows


def answer(data: StudyData) -> str:
    """The study's answer in a sentence or two."""
    first = data.by
    vanilla, adaptive = (data.estimate(score, "spearman") for score in (VANILLA + first.name, first.name))
    text = (
        f"Spearman's rank correlation with the {_what(first)} after fine-tuning is "
        f"{interval(*adaptive)} for the score with adaptive BN and {interval(*vanilla)} without recalibration; "
        f"choosing by the former loses {_amount(data.estimate(first.name, 'regret').value, first)}."
    )
    if CEILING in data.scores:
        text += f" One fine-tuning tells another to {interval(*data.estimate(CEILING, 'spearman'))}."
    return text


def _what(scorer: Scorer) -> str:
    return "accuracy" if scorer.name == "accuracy" else scorer.label


def _amount(value: float, scorer: Scorer) -> str:
    return f"{value:.2f} points" if scorer.evidence.unit == "%" else f"{value:.4f} ({scorer.evidence.unit})"
