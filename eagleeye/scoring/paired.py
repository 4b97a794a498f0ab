"""Two networks on the same labelled images: how much better is one, how sure is that, and what would decide a tie?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
_NORMAL = 1.959963984540054  # standard deviations on either side that hold LEVEL


@dataclass(frozen=True)
class Paired:
    """What one network's accuracy is above another's.

    Attributes:
        difference: Share of the images, in [-1, 1]; above 0: the first network is better.
        low: Lower end of its interval, level 95 %.
        high: Upper end.
        images: How many both networks saw.
        apart: On how many exactly one of both was right: the others say nothing about which is better.
    """

    difference: float
    low: float
    high: float
    images: int
    apart: int

    @property
    def decided(self) -> bool:
        """Whether the interval leaves one network the better one."""
        return self.low > 0 or self.high < 0

    @property
    def images_to_decide(self) -> int | None:
        """How many images would decide a difference of this size; None where there is none, or too small a one."""
        if self.difference == 0:
            return None
        variance = self.apart / self.images - self.difference**2
        needed = math.ceil(variance * (_NORMAL / self.difference) ** 2)
        return needed if needed < 1_000 * self.images else None


def compare(mine: npt.NDArray[np.bool_], theirs: npt.NDArray[np.bool_]) -> Paired:
    """Compare two networks image by image.

    The interval is that of Agresti and Min (2005, Statistics in Medicine 24, "Simple improved confidence intervals for
    comparing matched proportions"): Wald's, after half an image is added to each of the four cells of right and wrong.
    It says how far the accuracies on ever more images like these may lie apart; that another seed of the training
    gives other networks is not in it.

    Args:
        mine: Whether the first network was right, (n,).
        theirs: Whether the second one was, on the same images in the same order.

    Returns:
        The comparison.

    Raises:
        ValueError: There are no images, or not the same number of them.

    Example:
        >>> compare(np.array([True] * 90 + [False] * 10), np.array([True] * 80 + [False] * 20)).difference
        0.1
    """
    if mine.shape != theirs.shape or not len(mine):
        raise ValueError(f"{mine.shape} and {theirs.shape} images cannot be compared")
    won = int((mine & ~theirs).sum())
    lost = int((theirs & ~mine).sum())
    count = len(mine) + 2
    middle = (won - lost) / count
    half = _NORMAL * math.sqrt(won + lost + 1 - (won - lost) ** 2 / count) / count
    return Paired((won - lost) / len(mine), max(-1.0, middle - half), min(1.0, middle + half), len(mine), won + lost)
