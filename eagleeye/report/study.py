"""The page of a correlation study."""

from pathlib import Path

from eagleeye.files import written_whole
from eagleeye.report.drawing import draw, fill
from eagleeye.report.study_data import NAMES, StudyData
from eagleeye.report.study_figures import MEASURES, study_pictures
from eagleeye.report.units import interval
from eagleeye.study.correlation import CEILING

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
        names=NAMES,
    )
    with written_whole(folder / PAGE) as path:
        path.write_text(page, encoding="utf-8")


def coefficient_rows(data: StudyData) -> list[list[str]]:
    """The coefficients as a table for people: score, Pearson, Spearman, Kendall, points lost by its choice."""
    rows = []
    for score in data.scores:
        cells = [interval(*data.estimate(score, measure)) for measure in MEASURES]
        rows.append([NAMES[score], *cells, "" if score == CEILING else interval(*data.estimate(score, "regret"))])
    return rows


def answer(data: StudyData) -> str:
    """The study's answer in a sentence or two."""
    vanilla, adaptive = (data.estimate(score, "spearman") for score in ("vanilla_accuracy", "accuracy"))
    text = (
        "Spearman's rank correlation with the accuracy after fine-tuning is "
        f"{interval(*adaptive)} for the score with adaptive BN and {interval(*vanilla)} without recalibration; "
        f"choosing by the former loses {data.estimate('accuracy', 'regret').value:.2f} points."
    )
    if CEILING in data.scores:
        text += f" One fine-tuning tells another to {interval(*data.estimate(CEILING, 'spearman'))}."
    return text
