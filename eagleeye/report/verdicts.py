"""The result in words, with how sure it is: ahead of another network, behind it, or a tie that more images decide."""

import numpy as np
import numpy.typing as npt

from eagleeye.report.units import SPACE, minus
from eagleeye.scoring.paired import LEVEL, Paired, compare

Right = npt.NDArray[np.bool_]


def verdicts(name: str, winner: Right, full: Right, even: Right | None) -> list[str]:
    """The winner against the full network, and against the evenly pruned one.

    Args:
        name: The winner's.
        winner: On which test images it is right, (n,).
        full: On which the full network is.
        even: On which the evenly pruned network is; None where that is the winner, or was not asked for.

    Returns:
        A sentence for each.
    """
    rivals = {"the full network": full} | ({} if even is None else {"the evenly pruned network": even})
    return [f"{name}: {verdict(compare(winner, rival), other)}." for other, rival in rivals.items()]


def verdict(found: Paired, other: str) -> str:
    """A comparison in words, e.g. ``0.4 points better than the full network (95% interval …): a tie; …``.

    Args:
        found: The comparison.
        other: What the network was compared with.

    Returns:
        The text, without a full stop.
    """
    size = f"{abs(100 * found.difference):.1f}{SPACE}points {'better' if found.difference > 0 else 'worse'} than"
    size = size if found.difference else "exactly as good as"
    ends = f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"
    images = f"{found.images:,} test images"
    text = minus(f"{size} {other} ({LEVEL:.0%} interval {ends}, {images})")
    return text if found.decided else f"{text}: a tie; {_way_out(found)}"


def _way_out(found: Paired) -> str:
    needed = found.images_to_decide
    if needed is None:
        return "images of this kind would hardly decide so small a difference; other seeds of fine-tuning may"
    return f"some {_round(needed):,} test images, or fine-tuning with several seeds, would decide the like"


def _round(count: int) -> int:
    """Two digits are all that such an estimate deserves."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step
