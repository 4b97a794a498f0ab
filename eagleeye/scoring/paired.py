"""Two networks on the same labelled images: how much better is one, how sure is that, and what would decide a tie?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from eagleeye.task.confidence import Evidence, Hits

LEVEL = 0.95
_NORMAL = 1.959963984540054  # standard deviations on either side that hold LEVEL


@dataclass(frozen=True)
class Paired:
    """By how much one network is better than another.

    Attributes:
        difference: In the score's unit, a share of the images for accuracy; above 0: the first network is better.
        low: Lower end of its interval, level 95 %.
        high: Upper end.
        images: How many both networks saw.
        apart: On how many both differ, for accuracy those where exactly one of both was right: the others say nothing
            about which is better.
        variance: Of the difference, image by image.
    """

    difference: float
    low: float
    high: float
    images: int
    apart: int
    variance: float

    @property
    def decided(self) -> bool:
        """Whether the interval leaves one network the better one."""
        return self.low > 0 or self.high < 0

    @property
    def images_to_decide(self) -> int | None:
        """How many images would decide a difference of this size; None where there is none, or too small a one."""
        if self.difference == 0:
            return None
        needed = math.ceil(self.variance * (_NORMAL / self.difference) ** 2)
        return needed if needed < 1_000 * self.images else None


def compare(mine: Evidence, theirs: Evidence) -> Paired:
    """Compare two networks image by image.

    Args:
        mine: The first network's score on every image.
        theirs: The second one's of the same score, on the same images in the same order.

    Returns:
        The comparison. The interval says how far the scores on ever more images like these may lie apart; that another
        seed of the training gives other networks is not in it.

    Raises:
        ValueError: There are no images, or not the same number of them.
    """
    if mine.values.shape != theirs.values.shape or not len(mine.values):
        raise ValueError(f"{mine.values.shape} and {theirs.values.shape} images cannot be compared")
    if isinstance(mine, Hits):
        return _compare_hits(mine.values, theirs.values)
    won = mine.sign * (mine.values.astype(np.float64) - theirs.values.astype(np.float64))
    middle = float(won.mean())
    variance = float(won.var())
    # Student's, of one image infinite.
    half = float("inf")
    if len(won) > 1:
        half = -float(special.stdtrit(len(won) - 1, (1 - LEVEL) / 2)) * math.sqrt(variance / (len(won) - 1))
    return Paired(middle, middle - half, middle + half, len(won), int((won != 0).sum()), variance)


def _compare_hits(mine: npt.NDArray[np.bool_], theirs: npt.NDArray[np.bool_]) -> Paired:
    """Compare two classifiers by on which images each is right.

    The interval is that of Agresti and Min (2005, Statistics in Medicine 24, "Simple improved confidence intervals for
    comparing matched proportions"): Wald's, after half an image is added to each of the four cells of right and wrong.
    """
    won = int((mine & ~theirs).sum())
    lost = int((theirs & ~mine).sum())
    count = len(mine) + 2
    middle = (won - lost) / count
    half = _NORMAL * math.sqrt(won + lost + 1 - (won - lost) ** 2 / count) / count
    difference = (won - lost) / len(mine)
    apart = won + lost
    variance = apart / len(mine) - difference**2
    return Paired(difference, max(-1.0, middle - half), min(1.0, middle + half), len(mine), apart, variance)
