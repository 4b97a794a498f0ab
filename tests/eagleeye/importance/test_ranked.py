"""Scores of channels that several layers share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import eagleeye
from eagleeye.importance import criterion
from eagleeye.importance.ranked import AGGREGATES
from tests.eagleeye.networks import Residual, lively

LAYERS = [np.array([1.0, 2.0, 6.0]), np.array([30.0, 10.0, 20.0])]
"""Their means are 3 and 20."""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sum", [31, 12, 26]),
        ("mean", [(1 / 3 + 3 / 2) / 2, (2 / 3 + 1 / 2) / 2, (2 + 1) / 2]),
        ("max", [3 / 2, 2 / 3, 2]),
        ("first", [1, 2, 6]),
    ],
)
def test_aggregates_as_worked_out_on_paper(name: str, expected: list[float]) -> None:
    np.testing.assert_allclose(AGGREGATES[name](LAYERS), expected, rtol=1e-15)


@pytest.mark.parametrize("name", AGGREGATES)
def test_a_layer_of_zeros_has_no_say(name: str) -> None:
    zeros = np.zeros(3)
    assert np.array_equal(AGGREGATES[name]([zeros, zeros]), zeros)
    assert np.array_equal(np.argsort(AGGREGATES[name]([LAYERS[0], zeros])), [0, 1, 2])


@given(scale=st.floats(1e-6, 1e6), name=st.sampled_from(["mean", "max"]))
@settings(max_examples=20, deadline=None)
def test_one_tied_layer_of_other_weights_changes_nothing_where_scores_are_relative(scale: float, name: str) -> None:
    torch.manual_seed(0)
    network = lively(Residual()).double()
    space = eagleeye.trace(network, torch.randn(1, 3, 12, 12).double())
    before = criterion("l2", aggregate=name)(network, space)
    network.outer[0].weight.data *= scale
    for one, other in zip(before, criterion("l2", aggregate=name)(network, space), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_the_choice_decides_which_tied_filter_goes() -> None:
    network = lively(Residual())
    with torch.no_grad():
        network.stem[0].weight[:] = 1.0
        network.outer[0].weight[:] = 1000.0
        network.stem[0].weight[2] = 0.1
        network.outer[0].weight[2] = 1300.0
        network.stem[0].weight[5] = 0.95
        network.outer[0].weight[5] = 950.0
    space = eagleeye.trace(network, torch.randn(1, 3, 12, 12))
    gone = {name: int(np.argmin(criterion("l1", aggregate=name)(network, space)[0])) for name in AGGREGATES}
    assert gone == {"sum": 5, "mean": 2, "max": 5, "first": 2}
