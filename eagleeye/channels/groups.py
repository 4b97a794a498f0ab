"""Gather tied channels into groups: the units that a strategy gives one rate each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from eagleeye.channels.rewrite import Plan
from eagleeye.channels.ties import FIXED, Axis, Ids, Ties


@dataclass(frozen=True)
class Group:
    """Channels that share one rate: the filters of one convolution, or of several whose channels are tied.

    One channel of a group stands for everything that goes with it: a filter of each member, their normalisation,
    the consumers' weights for it.
    """

    name: str
    """The first convolution in order of execution."""
    channels: int
    members: tuple[str, ...]
    """All convolutions that lose a filter with each channel, in order of execution."""


@dataclass(frozen=True)
class Grouping:
    """The prunable groups, and per group the channel ids in the order of the first convolution's filters."""

    groups: tuple[Group, ...]
    ids: tuple[Ids, ...]


def gather(ties: Ties, axes: Mapping[tuple[str, int], Axis], plan: Plan) -> Grouping:
    """Gather tied channels into groups of equal footprint.

    Channels belong to one group if they occur equally often on every axis of every tensor. Costs then depend on
    the groups' widths alone, and an axis that holds one channel of a group holds all of them: none runs empty.

    Args:
        ties: The tied channel ids.
        axes: The tensors' axes, their `ids` already representatives, in order of execution.
        plan: The rewritten steps.

    Returns:
        The groups of two or more channels with at least one convolution's filters, in order of execution of the
        first convolution.
    """
    members: dict[tuple[tuple[int, int], ...], list[int]] = defaultdict(list)
    for root, footprint in _footprints(axes.values(), plan).items():
        members[tuple(footprint)].append(root)
    filters = [axis for axis in axes.values() if axis.role == "filter"]
    found = []
    for roots in members.values():
        owners = [(order, axis) for order, axis in enumerate(filters) if roots[0] in axis.ids]
        if len(roots) > 1 and owners:
            order, first = owners[0]
            found.append((order, np.flatnonzero(np.isin(first.ids, roots))[0], first, owners, roots))
    found.sort(key=lambda entry: entry[:2])
    groups = []
    ids = []
    taken = set[str]()
    for _, _, first, owners, roots in found:
        names = tuple(axis.tensor.removesuffix(".weight") for _, axis in owners)
        groups.append(Group(_unused(names[0], taken), len(roots), names))
        ordered = first.ids[np.isin(first.ids, roots)]
        ids.append(ordered[np.sort(np.unique(ordered, return_index=True)[1])])
    return Grouping(tuple(groups), tuple(ids))


def _footprints(axes: Iterable[Axis], plan: Plan) -> dict[int, list[tuple[int, int]]]:
    """How often every channel occurs on each axis and in each step."""
    places = [axis.ids for axis in axes]
    places += [ids for replacement in plan.values() for ids in replacement.step.positions()]
    footprints: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for place, ids in enumerate(places):
        for root, count in zip(*np.unique(ids, return_counts=True), strict=True):
            if root != FIXED:
                footprints[int(root)].append((place, int(count)))
    return footprints


def _unused(name: str, taken: set[str]) -> str:
    """A name for a group; a convolution whose filters fall into several groups numbers them."""
    number = 1
    candidate = name
    while candidate in taken:
        number += 1
        candidate = f"{name}#{number}"
    taken.add(candidate)
    return candidate
