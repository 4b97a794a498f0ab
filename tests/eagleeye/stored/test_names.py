"""Layers keep their names in a pruned network, or get one that code can say."""

from __future__ import annotations

import keyword
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import eagleeye
from eagleeye.stored.names import attribute, is_attribute
from tests.eagleeye.networks import lively


class Named(nn.Module):
    """Convolutions whose names are given, at the top and further down."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.chosen = name
        self.add_module(name, nn.Conv2d(3, 8, 3, padding=1))
        self.inner = nn.Module()
        self.inner.add_module(name, nn.Conv2d(8, 8, 3, padding=1))
        self.norm, self.fc = nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self._modules[self.chosen](x)))
        return self.fc(torch.relu(self.inner._modules[self.chosen](x)).mean((2, 3)))


NAMES = [
    "conv", "0", "conv-1", "conv 1", "conv/3x3", "класс", "ﬁ", 'a"b', "a\\b", "a\nb", "a'b", "class", "lambda", "None",
    "graph", "graph_", "code", "meta", "recompile", "self", "torch", "getattr", "print", "input", "output", "_graph",
    "step_relu", "__x", "é" * 40,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_searched_pruned_saved_and_loaded(name: str, tmp_path: Path) -> None:
    network, x = lively(Named(name)), torch.randn(4, 3, 8, 8)
    space = eagleeye.trace(network, x[:1])
    assert len(space.groups) == 2
    rates = [0.5, 0.25]
    assert eagleeye.check(network, space, rates, x) < 1e-12
    thin = eagleeye.prune(network, space, rates)
    eagleeye.save(thin, tmp_path / "thin.safetensors")
    back = eagleeye.load(tmp_path / "thin.safetensors")
    assert torch.equal(back(x), thin(x))
    assert set(back.state_dict()) == {attribute(key) for key in network.state_dict()}
    again = eagleeye.trace(back, x[:1])
    assert eagleeye.check(back, again, rates, x) < 1e-12


def test_names_that_code_can_say_stay() -> None:
    for path in ("conv", "0.weight", "a.conv-1.bias", "layer1.0.graph", "features.denseblock1", "класс"):
        assert attribute(path) == path


@given(st.lists(st.text(min_size=1).filter(lambda text: "." not in text), min_size=1, max_size=3).map(".".join))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_every_path_becomes_one_that_code_can_say(path: str) -> None:
    assert is_attribute(attribute(path))


def test_different_names_stay_different() -> None:
    names = [
        f"{word}{'_' * count}" for word in (*keyword.kwlist, "graph", "code", "meta", "conv") for count in range(4)
    ]
    assert len({attribute(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    "path", ["", ".", "a.", ".a", "a..b", "class", "graph", "forward", "a.forward", "_modules", 'x"y']
)
def test_what_code_cannot_say_is_told(path: str) -> None:
    assert not is_attribute(path)
