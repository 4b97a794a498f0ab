"""Why latency fell less than the MACs, in sentences that what was measured bears out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from eagleeye.latency.parts import DEPTHWISE, LIGHTER, REST, UNCHANGED
from eagleeye.report.data import ReportData
from eagleeye.report.units import milliseconds, percent

FLOOR = "floor"
"""The name in the table of latencies of the network with a single channel in every group."""
NAMES = {
    LIGHTER: "convolutions and linear layers that lost channels",
    UNCHANGED: "convolutions and linear layers that lost nothing",
    DEPTHWISE: "depthwise convolutions",
    REST: "all else: normalisation, activations, sums, and the way from layer to layer",
}
_WORTH_TELLING = 0.05
"""Share of the pruned network's time from which on a part is spoken of."""
_LEVEL = 1.1
"""Times of the MACs' share up to which the share of time counts as the same."""


def reasons(data: ReportData) -> list[str]:
    """Say why the time of a forward pass fell less than its MACs.

    Args:
        data: The report; `latency` has a network called ``floor`` where that was measured.

    Returns:
        Sentences; none where the time fell as the MACs did, or was not measured.
    """
    told = []
    kept = data.pruned.macs / data.baseline.macs
    parts = [_Part(*row) for row in data.parts[[each.name for each in fields(_Part)]].itertuples(index=False)]
    for size in data.latency["batch_size"].unique():
        rows = data.latency[data.latency["batch_size"] == size].set_index("model")
        share = 1 / float(rows["speedup"]["pruned"])
        if share > _LEVEL * kept:
            told.append(f"Batch {size}: {percent(share, 0)} of the time for {percent(kept, 0)} of the MACs.")
            told += _floor({str(name): float(time) for name, time in rows["median_ms"].items()})
            told += _shares({part.part: part for part in parts if part.batch_size == size})
    return told


@dataclass(frozen=True)
class _Part:
    """A row of `ReportData.parts`."""

    batch_size: int
    part: str
    layers: int
    full_macs: int
    pruned_macs: int
    full_ms: float
    pruned_ms: float


def _floor(times: Mapping[str, float]) -> Iterator[str]:
    if FLOOR in times:
        yield (
            f"With a single channel in every group it would be {milliseconds(times[FLOOR])}, "
            f"{percent(times[FLOOR] / times['baseline'], 0)} of the full network's time: no widths "
            "take less here."
        )


def _shares(parts: Mapping[str, _Part]) -> Iterator[str]:
    time, macs = (sum(getattr(part, name) for part in parts.values()) for name in ("pruned_ms", "pruned_macs"))
    for name in (REST, UNCHANGED, DEPTHWISE):
        part = parts.get(name)
        if part is not None and part.pruned_ms >= _WORTH_TELLING * time:
            costs = "no MACs" if name == REST else f"{percent(part.pruned_macs / macs, 0)} of its MACs"
            yield (
                f"{percent(part.pruned_ms / time, 0)} of the pruned network's time, with {costs}, goes to "
                f"{NAMES[name]} ({milliseconds(part.full_ms)} before, {milliseconds(part.pruned_ms)} now)."
            )
    lighter = parts.get(LIGHTER)
    if lighter is not None:
        kept_time = lighter.pruned_ms / lighter.full_ms
        kept = lighter.pruned_macs / lighter.full_macs
        if kept_time > _LEVEL * kept:
            yield (
                f"The {NAMES[LIGHTER]} kept {percent(kept, 0)} of their MACs and {percent(kept_time, 0)} of their "
                "time: narrower layers take more time for a MAC here."
            )
