"""What a score is: everything about it in one place, and the order that it puts candidates in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from torch import Tensor

from eagleeye.task.confidence import Evidence

VANILLA = "vanilla_"
"""What the name of a score without recalibration begins with."""


@dataclass(frozen=True)
class Scorer:
    """Everything about one score: a mean over images of what a candidate's outputs say about each."""

    name: str
    """The column of tables, the metric of MLflow, the value of `rank.by`."""
    measure: Callable[[Any, Any], Tensor]
    """From a candidate's outputs for n images and what they are held against, the score of every image (n,)."""
    compares: bool
    """Whether that is the unpruned network's outputs for the same images; otherwise the targets, image by image."""
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


@dataclass(frozen=True)
class Order:
    """What candidates are ordered by: a score, and the one that decides between equal ones."""

    first: Scorer
    second: Scorer

    @property
    def name(self) -> str:
        """The score's."""
        return self.first.name

    def merits(self, scores: Mapping[str, float]) -> tuple[float, float]:
        """What a candidate is ordered by.

        Args:
            scores: Its scores by name.

        Returns:
            Both scores, turned so that larger is better.
        """
        return self.first.sign * scores[self.first.name], self.second.sign * scores[self.second.name]
