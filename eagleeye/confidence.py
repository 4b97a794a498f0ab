"""How sure a ranking is: intervals of accuracies, and the chance that one candidate really beats another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

LEVEL = 0.95


def interval(accuracy: float, images: int) -> tuple[float, float]:
    """Wilson's interval of an accuracy, level 95 %.

    Args:
        accuracy: Share of the images on which the candidate is right, in [0, 1].
        images: How many images there are.

    Returns:
        Lower and upper end, in [0, 1]: where the accuracy on ever more such images is to be expected. It is one
        candidate's own; differences between candidates scored on the same images are surer (`chance_to_beat`).
    """
    from scipy import stats

    found = stats.binomtest(round(accuracy * images), images).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)


def chance_to_beat(correct: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """The probability that a candidate is more accurate than another on ever more images like these.

    Both are compared image by image, and only images count on which one is right and the other is wrong: of those, the
    share that the better one wins has a Beta distribution (uniform prior), as in McNemar's test.

    Args:
        correct: Whether the candidate is right, (n,).
        other: Whether the other is right on the same images, (m,); the first min(n, m) are compared.

    Returns:
        In [0, 1]; 0.5 where they are right on the same images.
    """
    shared = min(len(correct), len(other))
    mine, theirs = correct[:shared], other[:shared]
    won, lost = int((mine & ~theirs).sum()), int((theirs & ~mine).sum())
    return float(special.betaincc(won + 1, lost + 1, 0.5))


def pack(correct: npt.NDArray[np.bool_]) -> bytes:
    """Bits for tables and databases: eight images a byte, the number of images in front."""
    return len(correct).to_bytes(4, "little") + np.packbits(correct).tobytes()


def unpack(packed: bytes) -> npt.NDArray[np.bool_]:
    """What `pack` packed."""
    count = int.from_bytes(packed[:4], "little")
    return np.unpackbits(np.frombuffer(packed[4:], dtype=np.uint8), count=count).astype(bool)
