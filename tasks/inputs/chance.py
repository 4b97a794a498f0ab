"""What guessing would score: the yardstick for networks that have learned, or kept, nothing."""

import math

import numpy as np
import numpy.typing as npt

NEAR_CHANCE = (
    "the ranking says little; likely causes: a budget too small for this network, strategies.max_rate too high, too "
    "few calibration images"
)


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
