"""Tensors that a forward pass makes from sizes follow the sizes; numbers of Python's do, too."""

from __future__ import annotations

import builtins
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import eagleeye
from tests.eagleeye.network_parts import Head, conv_bn
from tests.eagleeye.networks import lively

Make = Callable[[Tensor, int, int, int], Tensor]


def integers(x: Tensor, b: int, h: int, w: int) -> Tensor:
    assert isinstance(b, int) and not isinstance(b, float) and isinstance(3, int) and int("7") == 7
    rows = torch.arange(int(h), dtype=x.dtype).view(1, 1, int(h), 1)
    return rows.expand(int(b), 1, int(h), int(float(w))) / max(h, w) - min([h, w]) * max(2, 3)


WAYS: dict[str, Make] = {
    "zeros": lambda x, b, h, w: torch.zeros(b, 1, h, w, dtype=x.dtype) + 1,
    "zeros by tuple": lambda x, b, h, w: torch.zeros((b, 1, h, w), dtype=x.dtype) + 1,
    "ones by size": lambda x, b, h, w: torch.ones(size=(b, 1, h, w), dtype=x.dtype),
    "empty": lambda x, b, h, w: torch.empty(b, 1, h, w, dtype=x.dtype).fill_(2),
    "full": lambda x, b, h, w: torch.full((b, 1, h, w), 0.5, dtype=x.dtype),
    "shape": lambda x, b, h, w: torch.ones(*x[:, :1].shape, dtype=x.dtype),
    "new_full": lambda x, b, h, w: x.new_full((b, 1, h, w), 0.5),
    "full_like": lambda x, b, h, w: torch.full_like(x[:, :1], 2.0),
    "linspace": lambda x, b, h, w: torch.linspace(0, 1, w, dtype=x.dtype).view(1, 1, 1, w).expand(b, 1, h, w),
    "eye": lambda x, b, h, w: torch.eye(h, w, dtype=x.dtype).expand(b, 1, h, w),
    "tensor": lambda x, b, h, w: x[:, :1] / torch.tensor([h, w], dtype=x.dtype).sum(),
    "meshgrid": lambda x, b, h, w: torch.meshgrid(
        torch.arange(h, dtype=x.dtype), torch.arange(w, dtype=x.dtype), indexing="ij"
    )[0].repeat(b, 1, 1, 1),
    "affine_grid": lambda x, b, h, w: F.affine_grid(
        torch.eye(2, 3, dtype=x.dtype)[None].expand(b, 2, 3), [b, 1, h, w], align_corners=False
    )[..., 0].unsqueeze(1),
    "of numbers alone": lambda x, b, h, w: x[:, :1] * torch.tensor([0.5, 2.0]).prod().mul(3).to(x.dtype),
    "integers": integers,
}


class Made(nn.Module):
    def __init__(self, make: Make) -> None:
        super().__init__()
        self.make, self.a, self.b, self.head = make, conv_bn(3, 8), conv_bn(9, 6), Head(6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        b, _, h, w = x.shape
        return self.head(self.b(torch.cat([x, self.make(x, b, h, w)], 1)))


@pytest.mark.parametrize("way", WAYS)
def test_made_tensors_follow_the_sizes(way: str) -> None:
    torch.manual_seed(0)
    network = lively(Made(WAYS[way]))
    space = eagleeye.trace(network, torch.randn(1, 3, 8, 8))
    assert sum(group.channels for group in space.groups) >= 13
    for shape in ((1, 3, 8, 8), (3, 3, 8, 8), (2, 3, 10, 14)):
        assert eagleeye.check(network, space, [0.5] * len(space.groups), torch.randn(shape)) < 1e-9


def test_pythons_functions_are_its_own_again_afterwards() -> None:
    eagleeye.trace(Made(integers).eval(), torch.randn(1, 3, 8, 8))
    assert not {"int", "float", "max", "min"} & set(globals())
    assert (int, float, max, min) == (builtins.int, builtins.float, builtins.max, builtins.min)
    assert torch.zeros_like in torch.overrides.get_overridable_functions()[torch]
    assert torch.zeros(2).tolist() == [0, 0]


def test_what_depends_on_the_code_alone_is_a_constant_unless_it_is_written_to() -> None:
    def written(x: Tensor, b: int, h: int, w: int) -> Tensor:
        scale = torch.ones(3)
        scale[1] = 5.0
        return x[:, :1] * scale.sum().to(x.dtype)

    constant = eagleeye.trace(Made(WAYS["of numbers alone"]).eval(), torch.randn(1, 3, 8, 8))
    assert [float(value) for value in constant.constants.values()] == [3.0]
    changed = eagleeye.trace(Made(written).eval(), torch.randn(1, 3, 8, 8))
    assert torch.ones in [node.target for node in changed.graph.nodes]
