"""Costs of many widths at once against whole numbers multiplied one tensor at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import eagleeye
from eagleeye.channels import Space
from eagleeye.channels.macs import MacCall
from eagleeye.channels.polynomial import Polynomial, polynomial
from eagleeye.channels.ties import Axis
from eagleeye.models import build
from tests.eagleeye.networks import CONSTRUCTS


def by_hand(space: Space, widths: list[int]) -> tuple[int, int]:
    """Python's own whole numbers: count what stays on every axis of every tensor."""
    kept = space.kept([np.arange(n) < width for n, width in zip(space.channels, widths, strict=True)])
    shapes = {name: list(shape) for name, shape in space.shapes.items()}
    for axis in space.axes:
        shapes[axis.tensor][axis.axis] = int(kept[axis.ids].sum())
    macs = sum(call.positions * math.prod(shapes[call.weight]) for call in space.mac_calls)
    return macs, sum(math.prod(shapes[name]) for name in space.parameters)


def networks() -> list[Callable[[], nn.Module]]:
    return [*CONSTRUCTS, lambda: build("cifar_resnet20", num_classes=10)]


@pytest.mark.parametrize("network", networks())
def test_every_cost_is_that_of_the_tensors_counted_one_by_one(network: Callable[[], nn.Module]) -> None:
    space = eagleeye.trace(network(), torch.randn(1, 3, 12, 12))
    rng = np.random.default_rng(0)
    widths = np.stack([rng.integers(1, n, size=20, endpoint=True) for n in space.channels], axis=1)
    costs = space.cost_of(widths)
    assert costs.macs.dtype == costs.params.dtype == np.int64
    found = list(zip(costs.macs.tolist(), costs.params.tolist(), strict=True))
    assert found == [by_hand(space, row) for row in widths.tolist()]


def test_any_number_of_rows_costs_what_each_costs_alone() -> None:
    space = eagleeye.trace(CONSTRUCTS[1](), torch.randn(1, 3, 12, 12))
    widths = space.widths(np.random.default_rng(0).uniform(size=(1030, len(space.groups))))
    alone = [space.cost_of(row[None]) for row in widths]
    together = space.cost_of(widths)
    assert together.macs.tolist() == [int(cost.macs[0]) for cost in alone]
    assert together.params.tolist() == [int(cost.params[0]) for cost in alone]
    assert space.cost_of(widths[:0]).macs.shape == (0,)


def enormous(positions: int) -> Polynomial:
    """Two groups of 1001 and 2003 channels: a tensor of both, a tensor of the second and a constant axis of 7."""
    ids = (np.arange(1, 1002), np.arange(1002, 3005))
    axes = [Axis("a", 0, ids[0], "filter"), Axis("a", 1, ids[1], "in"), Axis("b", 1, ids[1], "in")]
    shapes = {"a": (1001, 2003), "b": (7, 2003)}
    return polynomial(axes, shapes, ids, frozenset({"a", "b"}), [MacCall("a", positions), MacCall("b", 3)])


def test_whole_numbers_stay_exact_up_to_two_to_the_53() -> None:
    positions = 2**53 // (1001 * 2003) - 1
    removed = np.random.default_rng(0).integers(0, [1001, 2003], size=(500, 2))
    macs, params = enormous(positions).totals(removed)
    a, b = 1001 - removed[:, 0], 2003 - removed[:, 1]
    assert macs.tolist() == [int(x) * int(y) * positions + 21 * int(y) for x, y in zip(a, b, strict=True)]
    assert params.tolist() == (a * b + 7 * b).tolist()
    assert max(macs.tolist()) > 2**52


def test_equal_axes_and_products_are_taken_once() -> None:
    space = eagleeye.trace(build("cifar_resnet56", num_classes=10), torch.randn(1, 3, 32, 32))
    assert len(space.axes) > 300
    assert len(space._polynomial.full) == len(space.groups)
    assert space._polynomial.weights.shape[1] <= 2 * len(space.groups)
