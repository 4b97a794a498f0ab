"""The criterion on networks whose tensors are not what they usually are; on all others it is used everywhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import eagleeye
from tests.eagleeye.networks import lively
from tests.eagleeye.unusual_layers import Frozen


def test_frozen_layers_may_hold_their_weights_as_buffers() -> None:
    torch.manual_seed(0)
    network, x = lively(Frozen()), torch.randn(2, 3, 12, 12)
    space = eagleeye.trace(network, x[:1])
    rates = [0.4] * len(space.groups)
    assert {member for group in space.groups for member in group.members} == {"stem", "inner", "outer", "depth"}
    assert eagleeye.check(network, space, rates, x) < 1e-12


@pytest.mark.parametrize("name", ["norm.weight", "inner.weight", "whole.weight"])
def test_a_wrong_cut_of_a_buffer_shows(name: str) -> None:
    torch.manual_seed(0)
    network, x = lively(Frozen()), torch.randn(2, 3, 12, 12)
    space = eagleeye.trace(network, x[:1])
    axes = tuple(
        axis if axis.tensor != name else type(axis)(axis.tensor, axis.axis, axis.ids[::-1].copy(), axis.role)
        for axis in space.axes
    )
    wrong = replace(space, axes=axes)
    assert eagleeye.check(network, wrong, [0.4] * len(space.groups), x) > 1e-3
