"""One candidate of the search, before it has a score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Strategy:
        """The strategy of a row of a table: its `id`, `rates`, `widths`, `macs`, `params` and, if any, `latency`."""
        rates = tuple(map(float, row["rates"]))
        widths = tuple(map(int, row["widths"]))
        latency = row.get("latency")
        known = None if latency is None or math.isnan(latency) else float(latency)  # in a table it may be NaN
        return cls(row["id"], rates, widths, int(row["macs"]), int(row["params"]), known)
