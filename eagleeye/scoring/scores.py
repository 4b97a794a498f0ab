"""The scores of a candidate: one table, which everything else asks what scores there are and what each is like.

A score is a mean over images of what a candidate's logits say about each. Some need no labels: they compare the
candidate with the unpruned network on the same images. One more is one more function and entry here: the engine
computes it, the record, the tables and MLflow have columns for it, and `rank.by` takes its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

from eagleeye.errors import ConfigError
from eagleeye.scoring.confidence import Evidence, Hits, Losses

VANILLA = "vanilla_"
"""What the name of a score without recalibration begins with."""


@dataclass(frozen=True)
class Scorer:
    """Everything about one score."""

    name: str
    """The column of tables, the metric of MLflow, the value of `rank.by`."""
    measure: Callable[[Tensor, Tensor], Tensor]
    """From a candidate's logits (n, classes) and what they are held against, the score of every image (n,)."""
    compares: bool
    """Whether that is the unpruned network's logits (n, classes); otherwise the labels, int64 (n,)."""
    evidence: type[Evidence]
    """What the images' scores are together: how sure their mean is, and how they are packed."""
    second: str
    """What decides between equal ones; a score that needs no labels is not to depend on them this way either."""
    images: str
    """What the score image by image is called, in the record of scores."""
    label: str
    """What it is called in reports."""

    @property
    def sign(self) -> int:
        """1, or -1 where smaller is better."""
        return self.evidence.sign

    @property
    def title(self) -> str:
        """What it is called where it stands beside scores that need labels."""
        return f"{self.label}, no labels" if self.compares else self.label

    def of(self, images: npt.NDArray[Any]) -> Evidence:
        """What a candidate's images say together.

        Args:
            images: The score of each, (n,), from `eagleeye.scoring.evaluate.Predictions.columns`.

        Returns:
            The evidence, as exact as it is on record: whether a search was interrupted does not show.
        """
        return self.evidence.unpack(self.evidence(images).pack())


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether the largest logit is the label's; the mean is top-1 accuracy.

    Args:
        logits: Of the candidate, float (n, classes).
        labels: int64 (n,).

    Returns:
        bool (n,).
    """
    return logits.argmax(dim=1) == labels


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Minus the log-probability of the label, in nats.

    Args:
        logits: Of the candidate, float (n, classes).
        labels: int64 (n,).

    Returns:
        float64 (n,), so that a mean over 10,000 images does not depend on the batches they came in.
    """
    return F.cross_entropy(logits.double(), labels, reduction="none")


def agreement(logits: Tensor, full: Tensor) -> Tensor:
    """Whether the candidate chooses the class that the unpruned network chooses, right or wrong.

    Args:
        logits: Of the candidate, float (n, classes).
        full: Of the unpruned network for the same images, float (n, classes).

    Returns:
        bool (n,).
    """
    return logits.argmax(dim=1) == full.argmax(dim=1)


def divergence(logits: Tensor, full: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the candidate's class probabilities from the unpruned network's, in nats.

    Args:
        logits: Of the candidate, float (n, classes).
        full: Of the unpruned network for the same images, float (n, classes).

    Returns:
        float64 (n,), at least 0; 0 where both give the same probabilities.
    """
    mine, wanted = (F.log_softmax(each.double(), dim=1) for each in (logits, full))
    return F.kl_div(mine, wanted, reduction="none", log_target=True).sum(dim=1).clamp(min=0)


_TABLE = (
    Scorer("accuracy", correct, False, Hits, second="loss", images="correct", label="top-1 accuracy"),
    Scorer("loss", cross_entropy, False, Losses, second="accuracy", images="losses", label="cross-entropy"),
    Scorer("agreement", agreement, True, Hits, second="divergence", images="agrees", label="agreement"),
    Scorer("divergence", divergence, True, Losses, second="agreement", images="divergences", label="divergence"),
)
SCORERS = {scorer.name: scorer for scorer in _TABLE}
"""All scores by name, in the order of every table."""
COLUMNS = (*SCORERS, *(VANILLA + name for name in SCORERS))
"""Columns of tables: the scores after adaptive BN, then those with the trained network's statistics."""


def check_score(name: str) -> None:
    """Check that there is a score of this name.

    Raises:
        ConfigError: There is none.
    """
    if name not in SCORERS:
        raise ConfigError(f"score {name!r} is none of {', '.join(SCORERS)}; choose one of these")


def merits(scores: Mapping[str, float], name: str) -> tuple[float, float]:
    """What a candidate is ordered by.

    Args:
        scores: Its scores by name.
        name: The score that ranks.

    Returns:
        That score, and the one that decides between equal ones, both turned so that larger is better.
    """
    first = SCORERS[name]
    second = SCORERS[first.second]
    return first.sign * scores[first.name], second.sign * scores[second.name]
