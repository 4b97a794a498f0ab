"""What the page of a correlation study shows: plain values and tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from eagleeye.study.correlation import CEILING, Estimate
from eagleeye.task import CLASSIFICATION, Scorer, Task
from eagleeye.task.scores import VANILLA


def names_of(task: Task) -> dict[str, str]:
    """What scores are called, in the order in which they are listed.

    Args:
        task: What the network is for.
    """
    first = task.order().first
    return {
        **{name: scorer.title for name, scorer in task.scorers.items()},
        "mean_rank": "mean rank of these",
        "params": "parameters, no images",
        f"{first.name}_params": f"mean rank of {first.label} and parameters",
        **{VANILLA + name: f"vanilla: {scorer.label}" for name, scorer in task.scorers.items()},
        CEILING: CEILING,
    }


@dataclass(frozen=True)
class StudyData:
    """Everything the page shows; nothing is measured or read while it is written.

    Attributes:
        title: Heading of the page.
        candidates: One row per fine-tuned candidate: id, `reference` (bool), a column per score, and `test_accuracy`
            (or what else the task's first score is called), `test_low` and `test_high`: mean, lowest and highest over
            the seeds.
        coefficients: From `eagleeye.study.correlation.summarise`.
        statistics: One row per fine-tuning and BN layer: id, seed, layer, and distances of its statistics to the
            fine-tuned ones, `vanilla_mean`, `adaptive_mean`, `vanilla_variance`, `adaptive_variance`.
        weights: Of one fine-tuning, one row per layer, as `eagleeye.study.drift.weight_histograms` gives them.
        shown: Whose weights they are.
        seeds: Fine-tunings per candidate.
        level: Of the intervals.
        settings: Further facts by name.
        task: What the network is for.
    """

    title: str
    candidates: pd.DataFrame
    coefficients: pd.DataFrame
    statistics: pd.DataFrame
    weights: pd.DataFrame
    shown: str
    seeds: int
    level: float
    settings: Mapping[str, str] = field(default_factory=dict)
    task: Task = CLASSIFICATION

    @property
    def by(self) -> Scorer:
        """The task's first score, which is told of the test images."""
        return self.task.order().first

    @property
    def after(self) -> str:
        """The column of that score after fine-tuning."""
        return f"test_{self.by.name}"

    @property
    def names(self) -> dict[str, str]:
        """What scores are called, in the order in which they are listed."""
        return names_of(self.task)

    @property
    def drawn(self) -> pd.DataFrame:
        """The candidates that the coefficients are of."""
        return self.candidates[~self.candidates["reference"]]

    @property
    def references(self) -> pd.DataFrame:
        """The networks that are shown for comparison."""
        return self.candidates[self.candidates["reference"]]

    @property
    def scores(self) -> list[str]:
        """The scores that were studied, in order; the noise ceiling last."""
        found = set(self.coefficients["score"])
        return [name for name in self.names if name in found]

    def estimate(self, score: str, measure: str) -> Estimate:
        """A measure of a score; regret in points, or in the unit of scores that are no shares."""
        table = self.coefficients
        found = table[(table["score"] == score) & (table["measure"] == measure)].iloc[0]
        scale = self.by.evidence.factor if measure == "regret" else 1
        return Estimate(*(scale * float(found[key]) for key in Estimate._fields))
