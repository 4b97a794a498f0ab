"""Random small networks: a grammar of the constructs that tie or move channels, for Hypothesis.

A recipe is a nested tuple of names and whole numbers. Numbers choose among what is possible at that place (a divisor
of the channels, a position to cut at), so that every recipe is a valid network and shrinks to a small one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.eagleeye import grammar_state
from tests.eagleeye.network_parts import Head
from tests.eagleeye.unusual_layers import LayerNorm2d

Recipe = tuple[Any, ...]
_NUMBER = st.integers(0, 11)
_LEAVES = ("conv", "conv", "conv", "norm", "depthwise", "grouped", "gate", "pad", "slice", "shuffle", "pool", "prelu",
           "transposed", "scale", *grammar_state.STEPS)  # fmt: skip
_leaf = st.tuples(st.sampled_from(_LEAVES), _NUMBER, _NUMBER)


def _inner(steps: st.SearchStrategy[Recipe]) -> st.SearchStrategy[Recipe]:
    several = st.lists(steps, min_size=1, max_size=3).map(tuple)
    kinds = st.sampled_from(("residual", "concat", "split", "stack"))
    return st.tuples(kinds, _NUMBER, several, several)


recipes: st.SearchStrategy[Recipe] = st.lists(st.recursive(_leaf, _inner, max_leaves=6), min_size=1, max_size=5).map(
    tuple
)
"""The steps between a stem and a head."""


class RandomNetwork(nn.Module):
    """A stem, the steps of a recipe, and a head for five classes."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.stem = _conv(3, 8, 3)
        self.body = Chain(recipe, 8)
        self.head = Head(self.body.channels)

    def forward(self, x: Tensor, shift: Tensor | None = None, *, scale: float | None = None) -> Tensor:
        x = self.stem(x) if shift is None else self.stem(x + shift)
        x = self.body(x)
        return self.head(x) if scale is None else self.head(x) * scale


class Chain(nn.Module):
    """Steps one after another; `channels` is what the last of them gives."""

    def __init__(self, recipe: Recipe, channels: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList()
        for step in recipe:
            module, channels = _build(step, channels)
            self.steps.append(module)
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        return x


def _conv(inputs: int, filters: int, size: int, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, filters, size, padding=size // 2, groups=groups, bias=groups == 1)
    return nn.Sequential(conv, nn.BatchNorm2d(filters), nn.ReLU())


def _build(step: Recipe, channels: int) -> tuple[nn.Module, int]:
    name, a, b, *_ = step
    if name in ("residual", "concat", "split", "stack"):
        return _branched(name, a, step[2], step[3], channels)
    if name in grammar_state.STEPS:
        return grammar_state.build(name, a, b, channels), channels
    groups = _pick([g for g in range(2, channels + 1) if channels % g == 0] or [1], a)
    filters = 2 + a
    if name == "conv":
        return _conv(channels, filters, 1 + 2 * (b % 2)), filters
    if name == "depthwise":
        return _conv(channels, channels * (1 + b % 2), 3, channels), channels * (1 + b % 2)
    if name == "grouped":
        return _conv(channels, groups * (1 + b), 1, groups), groups * (1 + b)
    if name == "transposed":
        count = groups if b > 5 else 1
        return nn.ConvTranspose2d(channels, filters * count, 1 + b % 2, groups=count), filters * count
    if name == "pad":
        return Pad(a % 4, b % 4), channels + a % 4 + b % 4
    if name == "slice":
        start = a % channels
        stop = start + 1 + b % (channels - start)
        return Slice(start, stop), stop - start
    return _pointwise(name, groups, b, channels), channels


def _pointwise(name: str, groups: int, b: int, channels: int) -> nn.Module:
    """Steps that keep the number of channels."""
    if name == "norm":
        return (nn.GroupNorm(groups, channels), LayerNorm2d(channels), nn.GroupNorm(1, channels))[b % 3]
    if name == "gate":
        return Gate(channels, 1 + b)
    if name == "shuffle":
        return Shuffle(groups)
    if name == "pool":
        return nn.AvgPool2d(3, 1, 1) if b % 2 else nn.MaxPool2d(3, 1, 1)
    return nn.PReLU(channels if b % 2 else 1) if name == "prelu" else Scale(channels)


def _branched(name: str, a: int, left: Recipe, right: Recipe, channels: int) -> tuple[nn.Module, int]:
    if name == "concat":
        concat = Concat(Chain(left, channels), Chain(right, channels))
        return concat, concat.left.channels + concat.right.channels
    if name == "split":
        split = Split(1 + a % (channels - 1), left, right, channels) if channels > 1 else Chain(left, channels)
        return split, split.channels
    chain, other = Chain(left, channels), Chain(right, channels)
    if name == "residual":
        return Residual(nn.Sequential(chain, _conv(chain.channels, channels, 1))), channels
    fitted = [nn.Sequential(one, _conv(one.channels, 2 + a, 1)) for one in (chain, other)]
    return Stack(fitted[0], fitted[1], 2 + a), 2 + a


def _pick(choices: list[int], number: int) -> int:
    return choices[number % len(choices)]


def _same_size(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Transposed convolutions enlarge maps: cut both to the smaller one."""
    height, width = min(x.shape[2], y.shape[2]), min(x.shape[3], y.shape[3])
    return x[:, :, :height, :width], y[:, :, :height, :width]


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        x, y = _same_size(x, self.inner(x))
        return F.relu(x + y)


class Concat(nn.Module):
    def __init__(self, left: Chain, right: Chain) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(_same_size(self.left(x), self.right(x)), dim=1)


class Split(nn.Module):
    def __init__(self, first: int, left: Recipe, right: Recipe, channels: int) -> None:
        super().__init__()
        self.sizes = [first, channels - first]
        self.left, self.right = Chain(left, first), Chain(right, channels - first)
        self.channels = self.left.channels + self.right.channels

    def forward(self, x: Tensor) -> Tensor:
        left, right = torch.split(x, self.sizes, dim=1)
        return torch.cat(_same_size(self.left(left), self.right(right)), dim=1)


class Stack(nn.Module):
    """Two branches weighted against each other."""

    def __init__(self, left: nn.Module, right: nn.Module, channels: int) -> None:
        super().__init__()
        self.left, self.right, self.channels = left, right, channels
        self.weights = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.stack(_same_size(self.left(x), self.right(x)), dim=1)
        gate = self.weights(both.sum(dim=1).mean((2, 3), keepdim=True)).view(-1, 2, self.channels, 1, 1)
        return (both * gate.softmax(dim=1)).sum(dim=1)


class Gate(nn.Module):
    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))).sigmoid()


class Shuffle(nn.Module):
    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class Pad(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))


class Slice(nn.Module):
    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.start : self.stop]


class Scale(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(channels) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.view(1, -1, 1, 1)
