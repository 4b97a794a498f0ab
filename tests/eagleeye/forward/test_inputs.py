"""What a network is called with: one convention, against the calls that Python itself makes."""

from __future__ import annotations

from collections import UserDict, namedtuple
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from eagleeye.forward.inputs import bind, call, precision_of, to_precision

X, Y, Z = torch.ones(1), torch.zeros(1), torch.full((1,), 2.0)
Pair = namedtuple("Pair", "left right")


class One(nn.Module):
    def forward(self, x: Any) -> Any:
        return ("x", x)


class Two(nn.Module):
    def forward(self, x: Any, y: Any = None) -> Any:
        return ("x", x, "y", y)


class Starred(nn.Module):
    def forward(self, *xs: Any, flip: bool = False) -> Any:
        return ("xs", xs, "flip", flip)


class Keywords(nn.Module):
    def forward(self, *, image: Any, mask: Any = None) -> Any:
        return ("image", image, "mask", mask)


class Mixed(nn.Module):
    def forward(self, x: Any, *, scale: Any) -> Any:
        return ("x", x, "scale", scale)


class Anything(nn.Module):
    def forward(self, **named: Any) -> Any:
        return tuple(named.items())


FEATURES = {"s8": X, "s16": Y}


@pytest.mark.parametrize(
    ("network", "inputs", "called"),
    [
        (One(), X, lambda n: n(X)),
        (One(), (X,), lambda n: n(X)),
        (One(), [X, Y], lambda n: n([X, Y])),
        (One(), Pair(X, Y), lambda n: n(Pair(X, Y))),
        (One(), FEATURES, lambda n: n(FEATURES)),
        (One(), (FEATURES,), lambda n: n(FEATURES)),
        (One(), {"x": X}, lambda n: n(x=X)),
        (One(), ({"x": X},), lambda n: n({"x": X})),
        (One(), UserDict(x=X), lambda n: n(x=X)),
        (One(), {0: X}, lambda n: n({0: X})),
        (One(), {}, lambda n: n({})),
        (Two(), (X, Y), lambda n: n(X, Y)),
        (Two(), (X, None), lambda n: n(X, None)),
        (Two(), {"y": Y, "x": X}, lambda n: n(X, Y)),
        (Two(), (X, {"y": Y}), lambda n: n(X, {"y": Y})),
        (Starred(), (X, Y), lambda n: n(X, Y)),
        (Starred(), (X, {"flip": True}), lambda n: n(X, {"flip": True})),
        (Keywords(), X, lambda n: n(image=X)),
        (Keywords(), {"image": X, "mask": Y}, lambda n: n(image=X, mask=Y)),
        (Mixed(), (X, Y), lambda n: n(X, scale=Y)),
        (Mixed(), (X, {"scale": Y}), lambda n: n(X, scale=Y)),
        (Mixed(), {"scale": Y, "x": X}, lambda n: n(X, scale=Y)),
        (Anything(), FEATURES, lambda n: n(**FEATURES)),
        (nn.DataParallel(One()), FEATURES, lambda n: n(FEATURES)),
        (AveragedModel(Keywords()), X, lambda n: n(image=X)),
    ],
)  # fmt: skip
def test_inputs_are_taken_as_the_call_is_written(network: nn.Module, inputs: Any, called: Any) -> None:
    assert call(network, inputs) == called(network)


def test_what_does_not_fit_is_left_to_the_call_to_refuse() -> None:
    assert bind(One(), (X, Y)).args == (X, Y)
    with pytest.raises(TypeError, match="takes 2 positional arguments but 3 were given"):
        call(One(), (X, Y))


def test_scripted_networks_take_positions() -> None:
    class Plain(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    assert torch.equal(call(torch.jit.script(Plain()), (X, Z)), X + Z)


def test_precision_changes_floating_point_alone() -> None:
    inputs = {"x": X, "k": torch.tensor([1]), "n": [Y.double(), 3]}
    found = to_precision(inputs, torch.bfloat16)
    assert (found["x"].dtype, found["k"].dtype, found["n"][0].dtype) == (torch.bfloat16, torch.int64, torch.bfloat16)
    assert found["n"][1] == 3
    assert precision_of(nn.Linear(1, 1).half()) == torch.float16
    assert precision_of(nn.ReLU()) == torch.float32
