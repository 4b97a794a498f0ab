"""Which filters of which convolutions each channel stands for, worked out on paper."""

from __future__ import annotations

from torch import Tensor, nn

from tests.eagleeye.networks import Depthwise, Grouped, Plain, Residual, Transposed

Layout = dict[str, list[tuple[str, list[list[int]]]]]
"""Per group, by its name: each convolution with, for every channel, the numbers of its filters."""


def runs(channels: int, filters: int = 1) -> list[list[int]]:
    return [[channel * filters + number for number in range(filters)] for channel in range(channels)]


LAYOUTS: dict[type[nn.Module], Layout] = {
    Plain: {"a.0": [("a.0", runs(8))], "b.0": [("b.0", runs(12))]},
    Residual: {
        "stem.0": [("stem.0", runs(8)), ("outer.0", runs(8))],
        "inner.0": [("inner.0", runs(6))],
        "skip.0": [("skip.0", runs(10)), ("down.0", runs(10))],
    },
    Depthwise: {"stem.0": [("stem.0", runs(8)), ("depth.0", runs(8, 2))], "point.0": [("point.0", runs(10))]},
    Grouped: {"stem.0": [("stem.0", runs(4, 3)), ("grouped.0", runs(4, 2))], "point.0": [("point.0", runs(10))]},
    Transposed: {"stem.0": [("stem.0", runs(6))], "up": [("up", runs(8))], "after.0": [("after.0", runs(5))]},
}


def filters(network: nn.Module, tensor: Tensor, name: str, numbers: list[int]) -> list[float]:
    """A tensor's values for some filters of a convolution, as plain numbers."""
    transposed = isinstance(network.get_submodule(name), nn.ConvTranspose2d)
    values: list[float] = []
    for number in numbers:
        values += (tensor[:, number] if transposed else tensor[number]).detach().double().flatten().tolist()
    return values
