"""Cutting a network in two where candidates begin to differ."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn

from eagleeye.engine.split import split
from tests.eagleeye import networks


def named(*layers: str) -> Callable[[fx.Node], bool]:
    return lambda node: node.op == "call_module" and str(node.target) in layers


class Branches(nn.Module):
    """Two values cross the border behind `a`, one behind `joined`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.joined, self.last = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.last(self.joined(self.a(x) + self.b(x)))


@pytest.mark.parametrize(
    ("differs", "before", "behind"),
    [
        ("last", {"stem", "a", "b", "joined"}, {"last"}),
        ("joined", {"stem", "a", "b"}, {"joined", "last"}),
        ("b", {"stem"}, {"a", "b", "joined", "last"}),
    ],
)
def test_the_border_is_the_last_single_value(differs: str, before: set[str], behind: set[str]) -> None:
    network = fx.symbolic_trace(Branches()).eval()
    halves = split(network, named(differs))
    assert halves is not None
    start, rest = halves
    assert {name for name, _ in start.named_children()} == before
    assert {name for name, _ in rest.named_children()} == behind
    x = torch.randn(2, 3, 5, 5)
    assert torch.equal(rest(start(x)), network(x))
    assert rest.last is network.last


def test_nothing_is_set_apart_where_the_first_layer_differs_or_a_layer_is_used_on_both_sides() -> None:
    assert split(fx.symbolic_trace(Branches()), named("stem")) is None

    class Again(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(self.b(self.a(x)))

    assert split(fx.symbolic_trace(Again()), named("b")) is None


def test_a_network_with_two_inputs_stays_whole() -> None:
    network = networks.TwoInputs()
    assert split(fx.symbolic_trace(network), lambda node: False) is None
