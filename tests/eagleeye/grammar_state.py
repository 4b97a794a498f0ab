"""Steps of random networks that write in place, hold tensors under several names, keep them, or call a layer again."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEPS = ("alias", "write", "assign", "join", "mix", "canvas", "keep", "again", "optional")


def build(name: str, a: int, b: int, channels: int) -> nn.Module:
    """The step of a name, for two whole numbers; all keep the number of channels."""
    start = a % channels
    stop = start + 1 + b % (channels - start)
    if name == "again":
        return Again(channels, 2 + b % 2)
    if name == "optional":
        return Optional(channels, bool(b % 2))
    if name == "mix":
        return Mix(2 if channels % 2 == 0 else 1, bool(b % 2))
    if name in ("alias", "keep"):
        return Alias(channels, a % 4) if name == "alias" else Keep(channels)
    kinds: dict[str, type[Part]] = {"write": Write, "assign": Assign, "join": Join, "canvas": Canvas}
    return kinds[name](start, stop, b % 3)


class Alias(nn.Module):
    """Two names for one tensor, of which one is computed with in place."""

    def __init__(self, channels: int, kind: int) -> None:
        super().__init__()
        self.kind, self.shift = kind, nn.Parameter(torch.randn(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        kept = x
        if self.kind == 0:
            x += self.shift
        elif self.kind == 1:
            x *= 0.5
            x -= kept.mean((2, 3), keepdim=True)
        elif self.kind == 2:
            F.relu(x, inplace=True)
        else:
            x = x.sub_(self.shift).sigmoid_()
        return x + kept


class Part(nn.Module):
    """Something done to some of the channels."""

    def __init__(self, start: int, stop: int, kind: int) -> None:
        super().__init__()
        self.start, self.stop, self.kind = start, stop, kind


class Write(Part):
    def forward(self, x: Tensor) -> Tensor:
        part = x[:, self.start : self.stop]
        if self.kind == 0:
            part *= 2.0
        elif self.kind == 1:
            torch.relu_(x.narrow(1, self.start, self.stop - self.start))
        else:
            x[:, self.start : self.stop, 1:] += 0.5
        return x


class Assign(Part):
    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        count = self.stop - self.start
        if self.kind == 0:
            y[:, self.start : self.stop] = x[:, :count]
        elif self.kind == 1:
            y[:, self.start] = 0.25
        else:
            y[y > 0.5] = 0.5
        return x + y


class Join(Part):
    """One part of a tensor is added to another one."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = torch.split(x, [self.stop, x.shape[1] - self.stop], 1)
        count = min(first.shape[1], second.shape[1])
        if count:
            second[:, :count] += first[:, :count]
            first.mul_(0.5)
        return x


class Canvas(Part):
    """A tensor made from sizes that parts of another one are written to."""

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        canvas = torch.zeros(int(b), c, h, w, dtype=x.dtype) if self.kind else x.new_ones(b, c, h, w)
        canvas[:, self.start : self.stop] = x[:, self.start : self.stop]
        return canvas + x


class Mix(nn.Module):
    """A channel shuffle; what it gives, or what it was given, is written to afterwards, and both are read."""

    def __init__(self, groups: int, source: bool) -> None:
        super().__init__()
        self.groups, self.source = groups, source

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        y = x.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w) * 1
        z = y.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)
        if self.source:
            y += 1.0
        else:
            z *= 2.0
        return y + z


class Keep(nn.Module):
    """Keeps what it computes in an attribute and a list, and reads it again."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.last: Any = None
        self.seen: list[Any] = []
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        self.last = self.conv(x)
        self.seen.append(self.last)
        return x + self.seen[-1] * self.last.sigmoid()


class Again(nn.Module):
    """One layer called several times."""

    def __init__(self, channels: int, times: int) -> None:
        super().__init__()
        self.times = times
        self.layer = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(True))

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times):
            x = self.layer(x)
        return x


class Optional(nn.Module):
    """Arguments that may be missing decide what is computed."""

    def __init__(self, channels: int, given: bool) -> None:
        super().__init__()
        self.given, self.a, self.b = given, nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None, *, scale: float | None = None) -> Tensor:
        if mask is None and not self.given:
            return self.a(x)
        if mask is None:
            return self.forward(x, self.b(x).sigmoid(), scale=0.5)
        return x * mask * (1.0 if scale is None else scale)
