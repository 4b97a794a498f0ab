"""Scenes of real handwritten digits on a canvas, whose masks, boxes, labels and counts are exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

SIDE = 48
DIGIT = 16
"""Side of a digit: those of scikit-learn, twice as large."""
MOST = 4
INK = 0.3
"""A pixel that is darker belongs to its digit."""
CLASSES = 11
"""Of pixels: none, and the digits."""
HELD_OUT = 0.3
"""Of the digits themselves: no handwriting of a training scene is in a test scene."""


@dataclass(frozen=True)
class Scenes:
    """Pictures, and everything that can be asked about them.

    Attributes:
        images: float32 (n, 1, 48, 48), in [-1, 1].
        masks: int64 (n, 48, 48): 0, or the digit plus 1.
        labels: float32 (n, 10): 1 for every digit that is there.
        counts: float32 (n, 1): how many digits there are.
        boxes: Per scene float32 (k, 5): x0, y0, x1, y1 and the digit.
    """

    images: Tensor
    masks: Tensor
    labels: Tensor
    counts: Tensor
    boxes: list[Tensor]


def make_scenes(count: int, *, seed: int, test: bool = False) -> Scenes:
    """Place digits at random, one to four, without overlap.

    Args:
        count: Number of scenes.
        seed: Same seed, same scenes.
        test: Of the handwriting that is held out.
    """
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.images))
    split = int(HELD_OUT * len(order))
    chosen = order[:split] if test else order[split:]
    pictures = torch.from_numpy(found.images[chosen] / 16).float().repeat_interleave(2, 1).repeat_interleave(2, 2)
    random = np.random.default_rng(seed)
    scenes = [_scene(random, pictures, found.target[chosen]) for _ in range(count)]
    images, masks, boxes = (list(part) for part in zip(*scenes, strict=True))
    labels = torch.stack([torch.bincount(each[:, 4].long(), minlength=10).clamp(max=1).float() for each in boxes])
    counts = torch.tensor([[float(len(each))] for each in boxes])
    return Scenes(torch.stack(images), torch.stack(masks), labels, counts, boxes)


def _scene(random: np.random.Generator, pictures: Tensor, digits: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    image, mask = torch.zeros(SIDE, SIDE), torch.zeros(SIDE, SIDE, dtype=torch.int64)
    boxes: list[list[float]] = []
    for _ in range(random.integers(1, MOST + 1)):
        which = int(random.integers(len(pictures)))
        x, y = (int(place) for place in random.integers(0, SIDE - DIGIT + 1, 2))
        if any(abs(x - box[0]) < DIGIT and abs(y - box[1]) < DIGIT for box in boxes):
            continue
        place = np.s_[y : y + DIGIT, x : x + DIGIT]
        image[place] = pictures[which]
        mask[place] = torch.where(pictures[which] > INK, int(digits[which]) + 1, 0)
        boxes.append([x, y, x + DIGIT, y + DIGIT, float(digits[which])])
    noisy = image + 0.1 * torch.from_numpy(random.standard_normal((SIDE, SIDE))).float()
    return (2 * noisy - 1)[None], mask, torch.tensor(boxes)
