"""Criteria of weights against plain loops, and what must not change them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import eagleeye
from eagleeye.errors import ConfigError
from eagleeye.importance import criterion, l1_norm
from eagleeye.importance.filters import geometric_median
from tests.eagleeye.importance.layouts import LAYOUTS, filters
from tests.eagleeye.networks import CONSTRUCTS, GroupNorms, Plain, Residual, Transposed, conv_bn, inputs_of, lively


def l1_by_hand(filters: list[list[float]], own: int) -> float:
    return math.fsum(abs(value) for value in filters[own])


def l2_by_hand(filters: list[list[float]], own: int) -> float:
    return math.sqrt(math.fsum(value * value for value in filters[own]))


def geometric_median_by_hand(filters: list[list[float]], own: int) -> float:
    return math.fsum(math.dist(filters[own], other) for other in filters)


BY_HAND = {"l1": l1_by_hand, "l2": l2_by_hand, "geometric_median": geometric_median_by_hand}


def traced(construct: type[nn.Module], seed: int = 0) -> tuple[nn.Module, eagleeye.Space]:
    torch.manual_seed(seed)
    network = lively(construct(), seed)
    return network, eagleeye.trace(network, inputs_of(construct, 1))


@pytest.mark.parametrize("construct", LAYOUTS)
@pytest.mark.parametrize("name", BY_HAND)
def test_weights_are_scored_as_loops_over_plain_numbers_do(construct: type[nn.Module], name: str) -> None:
    network, space = traced(construct)
    layout = LAYOUTS[construct]
    found = criterion(name)(network, space)
    assert [group.name for group in space.groups] == list(layout)
    for scores, layers in zip(found, layout.values(), strict=True):
        expected = np.zeros(len(scores))
        for layer, numbers in layers:
            rows = [filters(network, network.get_parameter(f"{layer}.weight"), layer, own) for own in numbers]
            expected += [BY_HAND[name](rows, own) for own in range(len(rows))]
        assert scores.dtype == np.float64
        np.testing.assert_allclose(scores, expected, rtol=1e-12)


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_l1_is_the_sum_over_all_filters_that_share_a_channel(construct: type[nn.Module]) -> None:
    network, space = traced(construct)
    totals = dict.fromkeys(np.concatenate(space.ids).tolist(), 0.0)
    for axis in space.axes:
        if axis.role == "filter":
            slices = network.get_parameter(axis.tensor).detach().double().abs().movedim(axis.axis, 0)
            for channel, filter_ in zip(axis.ids.tolist(), slices, strict=True):
                if channel in totals:
                    totals[channel] += filter_.sum().item()
    for ids, named, default in zip(space.ids, criterion("l1")(network, space), l1_norm(network, space), strict=True):
        np.testing.assert_allclose(named, [totals[channel] for channel in ids.tolist()], rtol=1e-12)
        assert np.array_equal(named, default)


def test_scales_of_tied_layers_are_added() -> None:
    network, space = traced(Residual)
    network.outer[1].weight.data[2] *= -3
    found = criterion("bn_scale")(network, space)
    for scores, norms in zip(found, (("stem", "outer"), ("inner",), ("skip", "down")), strict=True):
        expected = [
            math.fsum(abs(network.get_submodule(norm)[1].weight[channel].item()) for norm in norms)
            for channel in range(len(scores))
        ]
        np.testing.assert_allclose(scores, expected, rtol=1e-12)


class Dense(nn.Module):
    """Normalisation before each convolution, over everything made so far."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.one, self.b = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1)
        self.two, self.head = nn.BatchNorm2d(9), nn.Linear(9, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        x = torch.cat([self.b(torch.relu(self.one(x))), x], 1)
        return self.head(torch.relu(self.two(x)).mean((2, 3)))


def test_scales_are_those_of_every_normalisation_that_the_channels_pass() -> None:
    network, space = traced(Dense)
    one, two = network.one.weight.detach().double().numpy(), network.two.weight.detach().double().numpy()
    a, b = criterion("bn_scale")(network, space)
    np.testing.assert_allclose(a, one + two[5:], rtol=1e-12)
    np.testing.assert_allclose(b, two[:5], rtol=1e-12)
    np.testing.assert_array_equal(criterion("bn_scale", aggregate="first")(network, space)[0], one)


def unscaled() -> nn.Module:
    network = Plain()
    network.b[1] = nn.BatchNorm2d(12, affine=False)
    return network


@pytest.mark.parametrize(("construct", "group"), [(Transposed, "up"), (GroupNorms, "a"), (unscaled, "b.0")])
def test_a_group_without_scales_is_named(construct: Callable[[], nn.Module], group: str) -> None:
    network = construct()
    space = eagleeye.trace(network, torch.randn(1, 3, 12, 12))
    with pytest.raises(ConfigError, match=f"^criterion bn_scale: no batch normalisation .* group '{group}'; .*$"):
        criterion("bn_scale")(network, space)


def permuted(network: Plain, order: Tensor) -> Plain:
    """The same function, the filters of the first convolution in another order."""
    other = copy.deepcopy(network)
    other.a[0].weight.data = network.a[0].weight.data[order]
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(other.a[1], name).data = getattr(network.a[1], name).data[order]
    other.b[0].weight.data = network.b[0].weight.data[:, order]
    return other


@given(order=st.permutations(range(8)), seed=st.integers(0, 1000), name=st.sampled_from([*BY_HAND, "bn_scale"]))
@settings(max_examples=25, deadline=None)
def test_scores_go_with_their_filters(order: list[int], seed: int, name: str) -> None:
    network, space = traced(Plain, seed)
    first, second = criterion(name)(network, space)
    moved_first, moved_second = criterion(name)(permuted(network, torch.tensor(order)), space)
    assert np.array_equal(moved_first, first[order])
    np.testing.assert_allclose(moved_second, second, rtol=1e-12)


@given(factor=st.floats(1e-3, 1e3), name=st.sampled_from([*BY_HAND, "bn_scale"]))
@settings(max_examples=25, deadline=None)
def test_scores_grow_with_the_weights_whatever_their_sign(factor: float, name: str) -> None:
    network, space = traced(Residual)
    scaled = copy.deepcopy(network).double()
    for parameter in scaled.parameters():
        parameter.data *= -factor
    for before, after in zip(criterion(name)(network, space), criterion(name)(scaled, space), strict=True):
        np.testing.assert_allclose(after, factor * before, rtol=1e-12)


def test_near_neighbours_of_large_norm_are_told_apart() -> None:
    """What products instead of differences would lose to rounding."""
    rows = np.full((30, 100), 1e6) + np.arange(30).reshape(30, 1) * 1e-6
    expected = [10 * abs(rows[own, 0] - rows[:, 0]).sum() for own in range(30)]
    np.testing.assert_allclose(geometric_median(rows), expected, rtol=1e-12)


def test_a_filter_in_the_middle_of_others_goes_first() -> None:
    """The geometric median against the norm: the middle filter is no small one."""
    network = nn.Sequential(conv_bn(3, 5), nn.Flatten(), nn.Linear(5 * 16, 2))
    with torch.no_grad():
        for number, value in enumerate((1.0, 3.0, 2.0, 4.0, 5.0)):
            network[0][0].weight[number] = value
    space = eagleeye.trace(network, torch.randn(1, 3, 4, 4))
    assert int(np.argmin(criterion("geometric_median")(network, space)[0])) == 1
    assert int(np.argmin(criterion("l1")(network, space)[0])) == 0
