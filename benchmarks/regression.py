"""Ways of refitting one candidate that the library does not have, for `python -m benchmarks.ideas`.

For networks whose layers' features are their channels, such as the ResNets.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from eagleeye.channels.steps import Kept
from eagleeye.reconstruction import Reconstruction
from eagleeye.reconstruction.consumers import Consumer
from eagleeye.reconstruction.in_turn import SideBySide, refit_in_turn
from eagleeye.reconstruction.regression import Sums, by_position


class Patches(SideBySide):
    """Positions of a kernel apart, and every layer reads what is left of the trained network's activations."""

    def refit(self, consumer: Consumer, x: Tensor, own: Tensor) -> None:
        """Refit a layer to the trained network's activations."""
        super().refit(consumer, x, x[:, self.stays(consumer, 1, x.shape[1])])


class Channels(SideBySide):
    """Layer after layer, but what takes over a channel does so with one share at all positions of a kernel."""

    def refit(self, consumer: Consumer, x: Tensor, own: Tensor) -> None:
        """Refit a layer's input channels, as `eagleeye.reconstruction.refit` does."""
        layer, target = self.layers(consumer)
        rows, columns = (self.stays(consumer, axis, layer.weight.shape[axis]) for axis in (0, 1))
        sums, weight = Sums(centred=True), layer.weight.detach().double()[rows]
        sums.add(by_position(own, consumer.spatial)[:, None], by_position(x, consumer.spatial)[:, None])
        shares = sums.solve(torch.eye(len(columns), dtype=torch.float64)[None, :, columns], self.ridge)
        target.weight.data = torch.einsum("oc...,ck->ok...", weight, shares[0]).to(target.weight.dtype).contiguous()
        if consumer.has_bias:
            lost = weight.reshape(*weight.shape[:2], -1).sum(2) @ sums.left(shares)[0]
            target.bias.data = (layer.bias.detach().double()[rows] + lost).to(target.bias.dtype)


class Held(SideBySide):
    """As the library does, held a hundred times more to the weights as they were."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.ridge *= 100


WAYS: dict[str, type[SideBySide]] = {
    "patches": Patches,
    "sequential channels": Channels,
    "sequential patches, ridge 0.1": Held,
    "sequential patches": SideBySide,
}
"""The last is the library's."""


def refit(found: Reconstruction, thin: fx.GraphModule, kept: Kept, images: Tensor, way: str) -> None:
    """Refit a candidate.

    Args:
        found: The trained network and its layers.
        thin: The pruned network; its weights and biases change.
        kept: Whether a channel stays, by id.
        images: Calibration images, normalised (n, C, H, W).
        way: Of `WAYS`.
    """
    axes = {(axis.tensor, axis.axis): axis.ids for axis in found.space.axes}
    refit_in_turn(found.network, thin, found.consumers, axes, kept, images, found.ridge, way=WAYS[way])
