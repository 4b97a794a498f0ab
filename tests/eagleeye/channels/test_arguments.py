"""Arguments of the forward pass: those that are not given keep their defaults."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import eagleeye
from tests.eagleeye.network_parts import Head, conv_bn
from tests.eagleeye.networks import lively


class Optional(nn.Module):
    """A second map that may be missing, a label that may be given, and options by keyword alone."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.head = conv_bn(3, 8), conv_bn(8, 6), conv_bn(8, 6), Head(6)

    def forward(
        self, x: Tensor | None = None, mask: Tensor | None = None, target: Tensor | None = None, *, twice: bool = True
    ) -> Any:
        if x is None:
            raise ValueError("x is missing")
        x = self.a(x)
        x = self.b(x) if mask is None else self.c(x) * mask
        out = self.head(x) * (2 if twice else 1)
        return out if target is None else (out, F.cross_entropy(out, target))


class Starred(nn.Module):
    """Any number of pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = conv_bn(3, 8), conv_bn(3, 8), Head(8)

    def forward(self, *pictures: Tensor) -> Tensor:
        return self.head(self.a(pictures[0]) + self.b(pictures[1]) if len(pictures) == 2 else self.a(pictures[0]))


@pytest.mark.parametrize(
    "network, count, names",
    [(Optional, 1, ["x"]), (Optional, 2, ["x", "mask"]), (Starred, 1, ["pictures_0"]),
     (Starred, 2, ["pictures_0", "pictures_1"])],
)  # fmt: skip
def test_arguments_that_are_not_given_keep_their_defaults(
    network: type[nn.Module], count: int, names: list[str]
) -> None:
    torch.manual_seed(0)
    model, inputs = lively(network()), tuple(torch.randn(2, 3, 8, 8) for _ in range(count))
    if network is Optional and count == 2:
        inputs = (inputs[0], torch.rand(2, 1, 8, 8))
    space = eagleeye.trace(model, inputs)
    assert [node.target for node in space.graph.nodes if node.op == "placeholder"] == names
    assert eagleeye.check(model, space, [0.5] * len(space.groups), inputs) < 1e-9
    with torch.no_grad():
        torch.testing.assert_close(eagleeye.prune(model, space, [0.0] * len(space.groups))(*inputs), model(*inputs))


def test_hooks_of_the_network_itself_are_recorded() -> None:
    model, x = lively(Starred()), torch.rand(2, 3, 8, 8)
    model.register_forward_pre_hook(lambda _network, inputs: ((inputs[0] - 0.5) / 0.1,))
    space = eagleeye.trace(model, x)
    assert eagleeye.check(model, space, [0.5] * len(space.groups), x) < 1e-9
