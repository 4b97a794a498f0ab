"""Numbers as people read them."""

import math

from eagleeye.task import Scorer

# A unit must not end up on the line after its number.
SPACE = "\N{NO-BREAK SPACE}"


def percent(fraction: float, digits: int = 2) -> str:
    """A fraction as a percentage, e.g. ``88.08 %``.

    Args:
        fraction: 1 for 100 %.
        digits: After the point.

    Returns:
        The text, its space a no-break space.
    """
    return f"{100 * fraction:.{digits}f}{SPACE}%"


def points(change: float) -> str:
    """A change of an accuracy in percentage points, with its sign, e.g. ``+1.13 points``.

    Args:
        change: Difference of two fractions.

    Returns:
        The text, with a true minus sign.
    """
    return minus(f"{100 * change:+.2f}{SPACE}points")


def of_score(value: float, scorer: Scorer, digits: int = 2) -> str:
    """A score in its unit, e.g. ``88.08 %``.

    Args:
        value: Its value.
        scorer: The score.
        digits: After the point, of per cent.

    Returns:
        The text.
    """
    return percent(value, digits) if scorer.evidence.unit == "%" else f"{value:.4f}"


def change_of(change: float, scorer: Scorer) -> str:
    """A change of a score with its sign, e.g. ``+1.13 points``.

    Args:
        change: Difference of two values.
        scorer: The score.

    Returns:
        The text, with a true minus sign.
    """
    return points(change) if scorer.evidence.unit == "%" else minus(f"{change:+.4f}")


def named(scorer: Scorer) -> str:
    """What a score is called where a sentence or a cell begins, e.g. ``Top-1 accuracy``."""
    return f"{scorer.label[:1].upper()}{scorer.label[1:]}"


def interval(value: float, low: float, high: float) -> str:
    """An estimate and its interval, e.g. ``0.83 [0.71, 0.90]``.

    Args:
        value: The estimate.
        low: Lower end of the interval.
        high: Upper end.

    Returns:
        The text, with true minus signs, and none before a zero.
    """
    return minus(f"{value:z.2f} [{low:z.2f}, {high:z.2f}]")


def level(fraction: float) -> str:
    """A level of confidence, e.g. ``95 %``.

    Args:
        fraction: 1 for 100 %.

    Returns:
        The text, with the digits that it needs.
    """
    return f"{100 * fraction:g}{SPACE}%"


def nats(value: float) -> str:
    """A cross-entropy or divergence, e.g. ``0.4012``.

    Args:
        value: In nats.

    Returns:
        The text, with four digits after the point.
    """
    return f"{value:.4f}"


def times(ratio: float) -> str:
    """How many times as much, e.g. ``1.60`` and the sign for times.

    Args:
        ratio: At least 0.

    Returns:
        The text.
    """
    return f"{ratio:.2f}\N{MULTIPLICATION SIGN}"


def quantity(value: float) -> str:
    """Three digits with a decimal prefix, e.g. ``40.8 M``; small counts as they are.

    Args:
        value: At least 0.

    Returns:
        The text; a unit may follow directly.
    """
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{_three_digits(value / size)}{SPACE}{prefix}"
    return str(int(value)) if value == int(value) else _three_digits(value)


def milliseconds(value: float) -> str:
    """A time with three digits, e.g. ``1.83 ms``.

    Args:
        value: In milliseconds.

    Returns:
        The text.
    """
    return f"{_three_digits(value)}{SPACE}ms"


def minus(text: str) -> str:
    """The text with true minus signs for hyphens."""
    return text.replace("-", "\N{MINUS SIGN}")


def _three_digits(value: float) -> str:
    if value <= 0:
        return "0"
    # Rounding first: 9.999 is 10.0, not 10.00.
    exponent = math.floor(math.log10(float(f"{value:.2e}")))
    return f"{value:.{max(0, 2 - exponent)}f}"
