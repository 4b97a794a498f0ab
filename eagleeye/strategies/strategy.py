"""One candidate of the search, before it has a score."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Strategy:
    """One candidate: its rates in group order, the widths they leave, and what the thin network costs."""

    id: str
    rates: tuple[float, ...]
    widths: tuple[int, ...]
    macs: int
    params: int
    latency: float | None = None
    """Predicted milliseconds, where the budget limits them."""
