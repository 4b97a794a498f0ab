"""What guessing would score, and what is more than luck: yardsticks for networks before they are searched."""

import math

import numpy as np
import numpy.typing as npt

BETTER = 0.1
"""Of the images: a gain beyond what resizing and normalising a little otherwise brings."""


def chance_level(labels: npt.NDArray[np.int64]) -> float:
    """Accuracy that guessing hardly ever exceeds: three standard deviations above its mean.

    Args:
        labels: Labels of the images that are guessed at, int64 (n,).

    Returns:
        The accuracy, in [0, 1] unless there are very few images.
    """
    # A network that always gives the same answer is right on the most frequent class.
    guess = float(np.bincount(labels).max()) / len(labels)
    return guess + 3 * math.sqrt(guess * (1 - guess) / len(labels))


def clearly_better(before: float, after: float, images: int) -> bool:
    """Whether a network is right on so many more of the images, prepared in another way, that the first was wrong.

    Args:
        before: Accuracy with the first way, in [0, 1].
        after: Accuracy with the other.
        images: Number of images.
    """
    deviation = math.sqrt((before * (1 - before) + after * (1 - after)) / images)
    return after - before > max(BETTER, 3 * deviation)
