"""What a report shows: plain values and the tables of a search."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from eagleeye.latency.parts import PART_COLUMNS
from eagleeye.report.examples import Examples
from eagleeye.report.loading import SavedFile
from eagleeye.task import CLASSIFICATION, Evidence, Order, Scorer, Task
from eagleeye.task.scores import VANILLA

EVEN = "even"


@dataclass(frozen=True, eq=False)
class Network:
    """One trained network, as it would be deployed.

    Attributes:
        name: ``baseline``, a candidate's id, or ``even`` for the evenly pruned reference.
        evidence: The task's first score on every test image, all networks' in the same order; in classification,
            whether it is right.
        second: The mean of the score that decides between equals; in classification, cross-entropy.
        macs: Multiply-accumulates of one image.
        params: Parameters.
        bytes: Size of its safetensors file.
        metrics: Of the whole test set, by what people call them.
    """

    name: str
    evidence: Evidence
    second: float
    macs: int
    params: int
    bytes: int
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """The first score's mean; in classification top-1 accuracy, in [0, 1]."""
        return float(self.evidence.values.astype(np.float64).mean())

    @property
    def interval(self) -> tuple[float, float]:
        """Where the score is to be expected on ever more such images, level 95 %."""
        return self.evidence.interval()

    @property
    def images(self) -> int:
        """How many test images there are."""
        return len(self.evidence.values)


@dataclass(frozen=True)
class ReportData:
    """Everything the report shows; nothing is measured or read while it is written.

    Attributes:
        title: Heading of the page, e.g. ``resnet50 at 50% MACs, on imagenet/train``.
        baseline: The full network.
        pruned: The winner after fine-tuning; its name is its id in ``ranking``.
        others: Further fine-tuned networks: the evenly pruned reference, the other ones of the top k.
        ranking: All candidates and references: rank Int64 (null for references), id, origin, macs, params,
            macs_fraction, params_fraction, rates, widths, ranked_by (the score that ranks), score_low, score_high (the
            interval of that score), beats_next, the task's scores, and, where scored, these with `vanilla_` in front.
        groups: Prunable groups in order of execution: group, name, channels, members.
        history: Fine-tuning, one row per network and epoch: id, epoch, lr, train_loss, the two scores that choose the
            epoch with `validation_` in front, images_per_second.
        latency: As `eagleeye.latency.measure.compare_latency` gives it, for ``baseline``, ``pruned`` and perhaps
            `eagleeye.report.speed.FLOOR`, the network with a single channel in every group.
        classes: Number of classes; 0 where there are none.
        task: What the networks are for.
        parts: Where the time goes, as `eagleeye.latency.parts.time_parts` gives it.
        files: The pruned network's files.
        examples: Test images with what the networks make of them, where people can look at that.
        warnings: Sentences a reader must see first.
        settings: Further facts by name: budget, seeds, number of images …
    """

    title: str
    baseline: Network
    pruned: Network
    ranking: pd.DataFrame
    groups: pd.DataFrame
    history: pd.DataFrame
    latency: pd.DataFrame
    classes: int
    others: tuple[Network, ...] = ()
    task: Task = CLASSIFICATION
    parts: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PART_COLUMNS))
    files: tuple[SavedFile, ...] = ()
    examples: Examples | None = None
    warnings: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def ranked_by(self) -> Scorer:
        """The score that ranks."""
        return self.task.scorers[str(self.ranking["ranked_by"].iloc[0])]

    @property
    def by(self) -> Order:
        """What chooses an epoch and is told of the test images; its first score is drawn of candidates, too."""
        return self.task.order()

    @property
    def candidates(self) -> pd.DataFrame:
        """The ranked candidates, best first, without the references."""
        return self.ranking[self.ranking["rank"].notna()].sort_values("rank")

    @property
    def winner(self) -> pd.Series:
        """The ranking's row of the pruned network."""
        return self.ranking[self.ranking["id"] == self.pruned.name].iloc[0]

    @property
    def even(self) -> Network | None:
        """The evenly pruned network, where it is another than the winner."""
        return next((network for network in self.others if network.name == EVEN), None)

    @property
    def has_vanilla(self) -> bool:
        """Whether candidates were scored without recalibration too."""
        vanilla = VANILLA + self.by.name
        return vanilla in self.ranking and bool(self.candidates[vanilla].notna().any())
