"""Boxes of one picture held against others: who is whose, and what that says about a detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

OVERLAP = 0.5
"""Intersection over union from which on two boxes of a class mean the same object."""
SURE = 0.5
"""Score from which on a detection counts where there is no order of detections."""

Boxes = Mapping[str, Tensor]
"""Of one picture: `boxes` (k, 4), x0, y0, x1, y1 in pixels; `labels` int64 (k,); of detections also `scores` (k,)."""


class Pairs(NamedTuple):
    """Detections that found a box; each row of one belongs to the row of the others."""

    detections: Tensor
    """Their numbers, int64 (p,)."""
    boxes: Tensor
    """The boxes' numbers, int64 (p,)."""
    overlaps: Tensor
    """Intersection over union, float64 (p,)."""


def matched(detections: Boxes, boxes: Boxes) -> Pairs:
    """Give every box the detection that is surest of it, as COCO does.

    The surest detection chooses first: of the boxes of its class that are left, the one it overlaps most, if that is by
    half at least.

    Args:
        detections: Of one picture, with scores.
        boxes: Of the same picture.
    """
    from torchvision.ops import box_iou

    mine, theirs = (each["boxes"].double() for each in (detections, boxes))
    # Equal boxes overlap, even those of no area that detectors return before they have learnt.
    equal = (mine[:, None] == theirs[None, :]).all(2)
    overlaps = torch.where(equal, 1.0, box_iou(mine, theirs).nan_to_num(0.0))
    alike = detections["labels"][:, None] == boxes["labels"][None, :]
    # Small tables, one after another: NumPy takes a third of the time of tensors.
    table = torch.where(alike, overlaps, 0.0).cpu().numpy()
    order = np.argsort(-detections["scores"].double().cpu().numpy(), kind="stable")
    hopeful = order[(table[order] >= OVERLAP).any(1)]
    pairs: list[tuple[int, int, float]] = []
    for number in hopeful:
        best = int(table[number].argmax())
        if (overlap := float(table[number, best])) >= OVERLAP:
            pairs.append((int(number), best, overlap))
            table[:, best] = 0.0  # taken
    first, second, third = zip(*pairs, strict=True) if pairs else ((), (), ())
    return Pairs(
        torch.tensor(first, dtype=torch.int64),
        torch.tensor(second, dtype=torch.int64),
        torch.tensor(third, dtype=torch.float64),
    )


def average_precision(detections: Boxes, boxes: Boxes) -> float:
    """The area under the curve of precision over recall of one picture, its classes together.

    Args:
        detections: Of the picture.
        boxes: What there is.

    Returns:
        In [0, 1]. Of a picture of nothing, 1 less the score of the surest detection.
    """
    scores = detections["scores"].double().cpu()
    if not len(boxes["boxes"]):
        return 1.0 - float(scores.max()) if len(scores) else 1.0
    if not len(scores):
        return 0.0
    hits = torch.zeros(len(scores), dtype=torch.float64)
    hits[matched(detections, boxes).detections] = 1.0
    hits = hits[torch.argsort(scores, descending=True, stable=True)]
    precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
    # The best precision at a recall at least as high, as the field has it.
    best = precision.flip(0).cummax(0).values.flip(0)
    return float((best * hits).sum() / len(boxes["boxes"]))


def f1(detections: Boxes, boxes: Boxes) -> float:
    """The harmonic mean of precision and recall of the detections that are sure, by a score of a half.

    Args:
        detections: Of one picture.
        boxes: What there is.

    Returns:
        In [0, 1]; 1 where there is nothing and nothing is found.
    """
    sure = only_sure(detections)
    found = len(matched(sure, boxes).detections)
    total = len(sure["boxes"]) + len(boxes["boxes"])
    return 2 * found / total if total else 1.0


def agreement(mine: Boxes, theirs: Boxes) -> float:
    """How far two detectors see the same in a picture: the Dice coefficient of their boxes, weighted by scores.

    Detections of one object count with the smaller of both scores, times their intersection over union; twice their sum
    is divided by the sum of all scores. No score is too low to count, so that it says something about detectors, too,
    that are sure of nothing.

    Args:
        mine: Detections of one.
        theirs: Of the other.

    Returns:
        In [0, 1]; 1 where both see nothing.
    """
    own, other = (each["scores"].double().cpu() for each in (mine, theirs))
    total = float(own.sum() + other.sum())
    if total <= 0:
        return 1.0
    pairs = matched(mine, theirs)
    common = torch.minimum(own[pairs.detections], other[pairs.boxes]) * pairs.overlaps
    return 2 * float(common.sum()) / total


def only_sure(detections: Boxes) -> dict[str, Tensor]:
    """The detections of a picture with a score of a half at least.

    Args:
        detections: Of one picture.
    """
    sure = detections["scores"] >= SURE
    return {name: detections[name][sure] for name in ("boxes", "labels", "scores")}
