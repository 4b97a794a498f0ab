"""The groups of a network as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from eagleeye.channels.groups import Group

ROWS = 40
"""Groups that are shown at most; of more, the first and the last ones."""
WIDTH = 100


def table(groups: Sequence[Group], macs: int, params: int, left_out: int) -> str:
    """One line per group, under a line of totals.

    Args:
        groups: In order of execution.
        macs: Of the full network.
        params: Of the full network.
        left_out: Convolutions that are in no group.

    Returns:
        Lines of at most 100 characters, of long networks the first and last ones.
    """
    filters = sum(group.channels for group in groups)
    lines = [f"{len(groups)} groups, {filters:,} filters, {macs:,} MACs, {params:,} parameters"]
    if left_out:
        lines.append(f"{left_out} convolutions stay as they are (space.left_out says why)")
    digits = max([7, *(len(f"{group.channels:,}") for group in groups)])
    lines.append(f"{'group':>5}  {'filters':>{digits}}  layers")
    rows = [_row(number, group, digits) for number, group in enumerate(groups)]
    if len(rows) > ROWS:
        rows = [*rows[: ROWS // 2], f"{'…':>5}  {len(rows) - ROWS} more groups", *rows[-ROWS // 2 :]]
    return "\n".join([*lines, *rows])


def _row(number: int, group: Group, digits: int) -> str:
    start = f"{number:>5}  {group.channels:>{digits},}  "
    names = list(group.members)
    for shown in range(len(names), 0, -1):
        more = f", … and {len(names) - shown} more" if shown < len(names) else ""
        row = f"{start}{', '.join(names[:shown])}{more}"
        if len(row) <= WIDTH:
            return row
    return f"{start}{names[0]}"[: WIDTH - 1] + "…"
