"""Numbers as people read them."""

import math


def percent(fraction: float, digits: int = 2) -> str:
    """A fraction as a percentage, e.g. ``88.08 %``.

    Args:
        fraction: 1 for 100 %.
        digits: After the point.
    """
    return f"{100 * fraction:.{digits}f} %"


def points(change: float) -> str:
    """A change of an accuracy in percentage points, with its sign, e.g. ``+1.13 points``.

    Args:
        change: Difference of two fractions.
    """
    return f"{100 * change:+.2f} points".replace("-", "\N{MINUS SIGN}")


def quantity(value: float) -> str:
    """Three digits with a decimal prefix, e.g. ``40.8 M``.

    Args:
        value: At least 0.
    """
    for size, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= 0.9995 * size:
            return _three_digits(value / size) + prefix
    return _three_digits(value)


def milliseconds(value: float) -> str:
    """A time with three digits, e.g. ``1.83 ms``.

    Args:
        value: In milliseconds.
    """
    return f"{_three_digits(value)} ms"


def _three_digits(value: float) -> str:
    if value == int(value) and value < 1000:
        return str(int(value))
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value > 0 else str(value)
