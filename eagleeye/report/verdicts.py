"""The result in words, with how sure it is: ahead of another network, behind it, or a tie that more images decide."""

from eagleeye.report.units import SPACE, minus
from eagleeye.scoring.paired import LEVEL, Paired, compare
from eagleeye.task import Evidence, Hits


def verdicts(name: str, winner: Evidence, full: Evidence, even: Evidence | None) -> list[str]:
    """The winner against the full network, and against the evenly pruned one.

    Args:
        name: The winner's.
        winner: Its score on every test image.
        full: The full network's.
        even: The evenly pruned network's; None where that is the winner, or was not asked for.

    Returns:
        A sentence for each.
    """
    rivals = {"the full network": full} | ({} if even is None else {"the evenly pruned network": even})
    kind = type(winner)
    return [f"{name}: {verdict(compare(winner, rival), other, kind)}." for other, rival in rivals.items()]


def verdict(found: Paired, other: str, kind: type[Evidence] = Hits) -> str:
    """A comparison in words, e.g. ``0.4 points better than the full network (95% interval …): a tie; …``.

    Args:
        found: The comparison.
        other: What the network was compared with.
        kind: What was compared, for its unit.

    Returns:
        The text, without a full stop.
    """
    unit, digits = ("points", 1) if kind.unit == "%" else (kind.unit, 4)
    amount = f"{abs(kind.factor * found.difference):.{digits}f}{SPACE}{unit}"
    size = f"{amount} {'better' if found.difference > 0 else 'worse'} than"
    size = size if found.difference else "exactly as good as"
    ends = f"{kind.factor * found.low:+.{digits}f} to {kind.factor * found.high:+.{digits}f}"
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
