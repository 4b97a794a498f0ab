"""What a report shows: plain values and the tables of a search."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from eagleeye.latency.parts import PART_COLUMNS
from eagleeye.report.loading import SavedFile
from eagleeye.task.confidence import Hits

EVEN = "even"


@dataclass(frozen=True, eq=False)
class Network:
    """One trained network, as it would be deployed.

    Attributes:
        name: ``baseline``, a candidate's id, or ``even`` for the evenly pruned reference.
        hits: On which test images it is right, (n,), all networks' in the same order.
        loss: Mean cross-entropy on the test set.
        macs: Multiply-accumulates of one image.
        params: Parameters.
        bytes: Size of its safetensors file.
    """

    name: str
    hits: npt.NDArray[np.bool_]
    loss: float
    macs: int
    params: int
    bytes: int

    @property
    def accuracy(self) -> float:
        """Top-1 on the test set, in [0, 1]."""
        return float(self.hits.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """Where the accuracy is to be expected on ever more such images, level 95 %."""
        return Hits(self.hits).interval()


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
            interval of that score), beats_next, accuracy, loss, and, where scored, vanilla_accuracy and vanilla_loss.
        groups: Prunable groups in order of execution: group, name, channels, members.
        history: Fine-tuning, one row per network and epoch: id, epoch, lr, train_loss, validation_accuracy,
            validation_loss, images_per_second.
        latency: As `eagleeye.latency.measure.compare_latency` gives it, for ``baseline``, ``pruned`` and perhaps
            `eagleeye.report.speed.FLOOR`, the network with a single channel in every group.
        classes: Number of classes.
        parts: Where the time goes, as `eagleeye.latency.parts.time_parts` gives it.
        files: The pruned network's files.
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
    parts: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PART_COLUMNS))
    files: tuple[SavedFile, ...] = ()
    warnings: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

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
        return "vanilla_accuracy" in self.ranking and bool(self.candidates["vanilla_accuracy"].notna().any())
