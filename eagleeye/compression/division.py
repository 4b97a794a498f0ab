"""Which images re-estimate statistics, which score candidates, and which are left to train on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from eagleeye.data import Preprocess, draw_subset
from eagleeye.data.images import Labels
from eagleeye.errors import ConfigError, DataError
from eagleeye.given import Collection, collect
from eagleeye.given.recognise import is_pair_of_sets
from eagleeye.task import CLASSIFICATION, Task

CALIBRATION = 512
SUB_VALIDATION = 2048
SHARE = 4
"""Of fewer images than four times that, one in four goes to each of the two."""
Wanted = float | int | None


@dataclass(frozen=True)
class Part:
    """Some images of a collection.

    Attributes:
        images: The collection.
        rows: Row numbers, in the order of use; every beginning is as balanced between classes as it can be.
    """

    images: Collection
    rows: Labels


@dataclass(frozen=True)
class Division:
    """The images of a search, disjoint where they come from one collection.

    Attributes:
        calibration: Those that re-estimate BN statistics.
        sub_validation: Those that score candidates.
        training: All that do not score, for fine-tuning.
    """

    calibration: Part
    sub_validation: Part
    training: Part

    @property
    def labelled(self) -> bool:
        """Whether the labels of the images that score are known."""
        return self.sub_validation.images.labelled


def divide(
    images: Any,
    preprocess: Preprocess | None,
    task: Task = CLASSIFICATION,
    *,
    calibration: Wanted,
    sub_validation: Wanted,
    seed: int,
) -> Division:
    """Draw calibration and sub-validation images, class by class where there are labels.

    Args:
        images: What `eagleeye.given.collect` takes, or a pair (calibration, sub_validation) of any of these.
        preprocess: How pictures and bytes become inputs.
        task: What the network is for.
        calibration: A count, or a fraction of the images; None: 512, or a quarter of fewer; all of a set that was given
            as such.
        sub_validation: Likewise; None: 2,048.
        seed: The same seed draws the same images.

    Raises:
        ConfigError: A count or fraction is out of range.
        DataError: There are too few images, all of one class, or they cannot be used.
    """
    if is_pair_of_sets(images):
        parts = []
        for given, wanted, name in zip(
            images, (calibration, sub_validation), ("calibration", "sub_validation"), strict=True
        ):
            found = collect(given, preprocess, name, task)
            rows = balanced(found.labels, len(found), seed)
            parts.append(Part(found, rows[: _count(wanted, len(rows), len(rows), name)]))
        division = Division(parts[0], parts[1], Part(parts[0].images, np.arange(len(parts[0].images))))
    else:
        division = _of_one(collect(images, preprocess, task=task), calibration, sub_validation, seed)
    _require_classes(division.sub_validation)
    return division


def balanced(labels: Labels | None, count: int, seed: int) -> Labels:
    """All rows in a random order of which every beginning has the classes in equal parts, as long as they last.

    Args:
        labels: int64 (n,), or None: any random order.
        count: Number of images n.
        seed: The same seed, the same order.
    """
    order = np.random.default_rng(seed).permutation(count)
    if labels is None:
        return order
    turns = np.empty(count, dtype=np.int64)
    for label in np.unique(labels):
        places = np.flatnonzero(labels[order] == label)
        turns[places] = np.arange(len(places))
    return order[np.argsort(turns, kind="stable")]


def _of_one(images: Collection, calibration: Wanted, sub_validation: Wanted, seed: int) -> Division:
    count = len(images)
    adapting = _count(calibration, count, min(CALIBRATION, count // SHARE), "calibration")
    scoring = _count(sub_validation, count, min(SUB_VALIDATION, count // SHARE), "sub_validation")
    if adapting + scoring > count or not min(adapting, scoring):
        raise DataError(
            f"images: {count} are too few for {max(adapting, 1)} calibration and {max(scoring, 1)} sub-validation"
            " images: give more, or ask for fewer"
        )
    if images.labels is None:
        order = balanced(None, count, seed)
        first, second = order[:scoring], order[scoring : scoring + adapting]
    else:
        # Classes that do not occur are no matter here.
        _, compact = np.unique(images.labels, return_inverse=True)
        drawn = draw_subset(compact, calibration=adapting, sub_validation=scoring, seed=seed)
        first = drawn.sub_validation
        second = drawn.calibration
    training = np.setdiff1d(np.arange(count), first)
    return Division(Part(images, second), Part(images, first), Part(images, training))


def _count(wanted: Wanted, total: int, otherwise: int, name: str) -> int:
    if wanted is None:
        return otherwise
    if isinstance(wanted, float) and 0 < wanted < 1:
        return max(1, round(wanted * total))
    if isinstance(wanted, int) and not isinstance(wanted, bool) and wanted >= 1:
        return wanted
    raise ConfigError(f"{name} must be a count (a whole number from 1) or a fraction between 0 and 1; got {wanted!r}")


def _require_classes(part: Part) -> None:
    labels = part.images.labels
    if labels is not None and len(found := np.unique(labels[part.rows])) == 1:
        raise DataError(
            f"sub_validation: all {len(part.rows)} images are of class {found[0]}, so that the same answer to all would"
            " be right: give images of all classes, or images alone, without labels"
        )
