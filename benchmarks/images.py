"""How many images a score needs to tell the accuracy after fine-tuning: `python -m benchmarks.images`.

Run in a folder with a finished correlation study of a search with `evaluate.racing: off`: what every candidate scored
on every sub-validation image is on record there, and the first of these images are as balanced as all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from eagleeye.scoring.racing import Rung, Scores
from eagleeye.study.correlation import Bootstrap, correlate
from eagleeye.task.classification import SCORERS
from tasks.artifacts import CALIBRATION, RANKING, REFERENCE, SCOREBOOK, STUDIED, SUB_VALIDATION, read_table
from tasks.inputs.candidates import strategies_of
from tasks.inputs.evaluator import scoring_key
from tasks.inputs.images import open_subset
from tasks.settings import read_params
from tasks.stages.evaluate import on_record
from tasks.state.scorebook import Scorebook

FEWEST = 128


def main() -> None:
    """Print Spearman's coefficients with their intervals, a line per number of images and a column per score."""
    params, studied = read_params(Path("params.yaml")), read_table(STUDIED)
    drawn = studied[studied["origin"] != REFERENCE].set_index("id")["test_accuracy"]
    rung = Rung(len(open_subset(CALIBRATION)), len(open_subset(SUB_VALIDATION)))
    strategies = [strategy for strategy in strategies_of(read_table(RANKING), references=False) if strategy.id in drawn]
    with Scorebook(SCOREBOOK) as book:
        found = on_record(book, scoring_key(params), rung, strategies)
    missing = [name for name in drawn.index if name not in found]
    if missing:
        raise SystemExit(
            f"{missing[0]} has not been scored on all images: set evaluate.racing to off and run `dvc repro`"
        )
    counts = [n for n in (FEWEST << step for step in range(20)) if n < rung.sub_validation] + [rung.sub_validation]
    wanted = params.correlation
    bootstrap = Bootstrap(wanted.resamples, wanted.level, wanted.seed)
    table = spearman_by_images([found[name] for name in drawn.index], drawn.to_numpy(float), counts, bootstrap)
    table["shown"] = [f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in table.itertuples()]
    print(table.pivot(index="images", columns="score", values="shown")[list(SCORERS)].to_string())


def spearman_by_images(
    found: Sequence[Scores], accuracy: npt.NDArray[np.float64], counts: Sequence[int], bootstrap: Bootstrap
) -> pd.DataFrame:
    """Rank correlation of the scores on the first images with the accuracy after fine-tuning.

    Args:
        found: What candidates scored, image by image.
        accuracy: Theirs after fine-tuning.
        counts: Numbers of sub-validation images.
        bootstrap: How intervals are found.

    Returns:
        One row per number and score: images, score, value, low, high.
    """
    columns = {name: [_values(scores, name) for scores in found] for name in SCORERS}
    rows = []
    for count in counts:
        for name, values in columns.items():
            score = SCORERS[name].sign * np.array([each[:count].mean() for each in values])
            rows.append({"images": count, "score": name, **correlate(score, accuracy, bootstrap)["spearman"]._asdict()})
    return pd.DataFrame(rows)


def _values(scores: Scores, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(SCORERS[name].evidence.unpack(scores.images[name]).values, dtype=np.float64)


if __name__ == "__main__":
    main()
