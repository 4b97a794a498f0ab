"""The coverage table as a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Result = dict[str, Any]
CRITERION = 1e-9
"""Largest relative difference between the thin and the masked network, in float64."""
SLACK = 0.02
"""How far from half of the MACs still counts as reached."""

_HEAD = """# Which networks can be pruned

Written by `python -m benchmarks.coverage`. Every network was traced with random weights on a square picture of the
given side, pruned to half of its MACs by a random strategy, and held against the criterion there and at another one:
the thin network's outputs must equal those of the full network whose consumers ignore what was removed (largest
relative difference in float64 at most 1e-9; a normalisation over channels sees those that stay, in both).

- *groups*: rates a strategy has; *prunable*: the share of the MACs that goes if each group keeps one channel.
- *half*: whether half of the MACs was reached (within two points), by torch's own counter on the thin network.
- Torch-Pruning {version}: `MetaPruner`, group importance, one ratio for all layers, found by bisection; the same
  criterion, for its own choice of channels. Where weights are standardised or responses normalised over channels
  (BiT, ConvNeXt V2) it does so over those that stay, which the criterion does not allow for: **no** means nothing
  there.

Seconds are those of one trace and of one pruning; the machine had other work.

{summary}

| network | side | groups | prunable | half | criterion | trace, s | Torch-Pruning: half | criterion | s |
|---|---|---|---|---|---|---|---|---|---|
"""


def page(results: Sequence[Result], version: str) -> str:
    """The whole page, one row per network."""
    rows = [_row(result) for result in results]
    return _HEAD.format(version=version, summary=_summary(results)) + "\n".join(rows) + "\n" + _errors(results)


def _row(result: Result) -> str:
    ours, theirs = result["eagleeye"], result["torch_pruning"]
    cells = [result["network"], str(result["side"])]
    if "error" in ours:
        cells += ["-", "-", "no", "-", "-"]
    else:
        cells += [
            str(ours["groups"]),
            f"{100 * ours['prunable']:.1f} %",
            _half(ours),
            _met(ours),
            f"{ours['seconds']:.1f}",
        ]
    if "error" in theirs:
        cells += ["no", "error", "-"]
    else:
        cells += [_half(theirs), _met(theirs), f"{theirs['seconds']:.1f}"]
    return f"| {' | '.join(cells)} |"


def _met(found: Result) -> str:
    return f"{'yes' if found['difference'] <= CRITERION else '**no**'}, {found['difference']:.0e}"


def _half(found: Result) -> str:
    reached = abs(found["macs"] - 0.5) <= SLACK
    return f"{'yes' if reached else 'no'}, {100 * found['macs']:.1f} %"


def _summary(results: Sequence[Result]) -> str:
    ours = [result["eagleeye"] for result in results if "error" not in result["eagleeye"]]
    theirs = [result["torch_pruning"] for result in results if "error" not in result["torch_pruning"]]
    met = sum(found["difference"] <= CRITERION for found in ours)
    half, other = (sum(abs(found["macs"] - 0.5) <= SLACK for found in side) for side in (ours, theirs))
    right = sum(found["difference"] <= CRITERION for found in theirs)
    return (
        f"Of {len(results)} networks {len(ours)} could be pruned here, {half} to half of their MACs, {met} meeting the"
        f" criterion; with Torch-Pruning {len(theirs)} ran, {other} at half of their MACs, {right} meeting it."
    )


def _errors(results: Sequence[Result]) -> str:
    lines = [
        f"- {result['network']}, {tool}: {result[key]['error']}"
        for result in results
        for key, tool in (("eagleeye", "here"), ("torch_pruning", "Torch-Pruning"))
        if "error" in result[key]
    ]
    return "\n## Errors\n\n" + "\n".join(lines) + "\n" if lines else ""
