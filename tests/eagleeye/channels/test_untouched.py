"""The user's network is the same object with the same content after it was traced, also where that fails."""

from __future__ import annotations

import pickle
import random
from collections import deque
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import eagleeye
from eagleeye.channels.untouched import untouched
from eagleeye.errors import TraceError
from tests.eagleeye.network_parts import Head, conv_bn
from tests.eagleeye.networks import lively


class Cache:
    """What some networks keep their maps in."""

    def __init__(self) -> None:
        self.maps: dict[str, Any] = {"all": []}


class Keeping(nn.Module):
    """Keeps results in attributes, lists, dicts and objects, counts its calls, and reads what it kept."""

    shared: ClassVar[list[Any]] = []

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.a, self.b, self.head, self.fails = conv_bn(3, 8), conv_bn(8, 6), Head(6), fails
        self.last: Any = None
        self.seen: list[Any] = []
        self.recent: deque[Any] = deque(maxlen=2)
        self.a.cache = {"nested": [{}], "object": Cache()}
        self.register_buffer("calls", torch.zeros(()))
        self.plain = torch.zeros(2)

    def forward(self, x: Tensor) -> Tensor:
        self.last = self.a(x)
        self.seen.append(self.last.shape[0])
        self.recent.append(self.last)
        self.shared.append(self.last)
        self.a.cache["nested"][0]["map"] = self.last
        self.a.cache["object"].maps["all"].append(self.last)
        self.calls += 1
        self.plain += 1
        self.new = self.last * 2
        if self.fails and self.new.sum() > 0:
            return x
        return self.head(self.b(self.new) + self.a.cache["nested"][0]["map"].mean((1, 2, 3), keepdim=True))


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_a_traced_network_pickles_to_the_same_bytes(fails: bool, training: bool) -> None:
    network = lively(Keeping(fails)).train(training)
    network.b.eval()
    network.a[0].weight.requires_grad_(False)
    hooks: list[Any] = []
    network.a.register_forward_hook(lambda *parts: hooks.append(parts))
    state = network.a._forward_hooks.copy()
    network.a._forward_hooks.clear()
    before, x = pickle.dumps(network), torch.randn(2, 3, 8, 8)
    network.a._forward_hooks.update(state)
    drawn = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    if fails:
        with pytest.raises(TraceError, match="control flow"):
            eagleeye.trace(network, x)
    else:
        eagleeye.trace(network, x)
    assert network.a._forward_hooks == state
    network.a._forward_hooks.clear()
    assert pickle.dumps(network) == before
    assert Keeping.shared == []
    assert random.getstate() == drawn[0] and np.random.get_state()[1].tolist() == drawn[1]
    assert torch.equal(torch.get_rng_state(), drawn[2])


def test_a_network_that_keeps_its_maps_is_checked_after_a_run() -> None:
    network, x = lively(Keeping()), torch.randn(2, 3, 8, 8)
    network(x)
    network.shared.clear()
    space = eagleeye.trace(network, x)
    assert isinstance(network.last, Tensor) and network.last.grad_fn is not None
    assert eagleeye.check(network, space, [0.5] * len(space.groups), x) < 1e-9
    network.shared.clear()


def test_memory_that_was_exchanged_comes_back() -> None:
    network = conv_bn(3, 4)
    weight, values = network[0].weight, network[0].weight.detach().clone()
    place = weight.data_ptr()
    with untouched(network) as state:
        weight.data = torch.zeros(1)
        network[0].bias = nn.Parameter(torch.ones(4))
        network.extra = nn.ReLU()
        assert state.restore()
        assert not state.restore()
        weight.data.mul_(2)
    assert weight.data_ptr() == place and torch.equal(weight, values)
    assert network[0].bias is None and len(network) == 3
