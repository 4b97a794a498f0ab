"""What the page of a correlation study shows: plain values and tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from eagleeye.study.correlation import CEILING, Estimate
from eagleeye.task.classification import SCORERS
from eagleeye.task.scores import VANILLA

NAMES = {
    **{name: scorer.title for name, scorer in SCORERS.items()},
    "mean_rank": "mean rank of these",
    "params": "parameters, no images",
    "accuracy_params": "mean rank of top-1 and parameters",
    **{VANILLA + name: f"vanilla: {scorer.label}" for name, scorer in SCORERS.items()},
    CEILING: CEILING,
}
"""What scores are called, in the order in which they are listed."""


@dataclass(frozen=True)
class StudyData:
    """Everything the page shows; nothing is measured or read while it is written.

    Attributes:
        title: Heading of the page.
        candidates: One row per fine-tuned candidate: id, `reference` (bool), a column per score, and `test_accuracy`,
            `test_low` and `test_high`: mean, lowest and highest over the seeds.
        coefficients: From `eagleeye.study.correlation.summarise`.
        statistics: One row per fine-tuning and BN layer: id, seed, layer, and distances of its statistics to the
            fine-tuned ones, `vanilla_mean`, `adaptive_mean`, `vanilla_variance`, `adaptive_variance`.
        weights: Of one fine-tuning, one row per layer, as `eagleeye.study.drift.weight_histograms` gives them.
        shown: Whose weights they are.
        seeds: Fine-tunings per candidate.
        level: Of the intervals.
        settings: Further facts by name.
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
        return [name for name in NAMES if name in found]

    def estimate(self, score: str, measure: str) -> Estimate:
        """A measure of a score; regret in points."""
        table = self.coefficients
        found = table[(table["score"] == score) & (table["measure"] == measure)].iloc[0]
        scale = 100 if measure == "regret" else 1
        return Estimate(*(scale * float(found[key]) for key in Estimate._fields))
