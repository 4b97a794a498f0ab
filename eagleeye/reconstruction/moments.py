"""Means and covariances of what layers read, measured in one pass of the trained network over images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from eagleeye.errors import EvaluationError
from eagleeye.forward.inputs import Inputs, positional, precision_of, to_precision
from eagleeye.forward.modes import evaluating
from eagleeye.forward.running import explained
from eagleeye.reconstruction.consumers import Block, Consumer

ROUNDING = 1e-12
"""Variance that activations of mean square 1 have by rounding alone in float32."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of a block's channels for each part of a layer, float64; all positions of all images count alike."""

    mean: Tensor
    """Shape (groups, channels)."""
    second: Tensor
    """Shape (groups, channels, channels): about the mean, or about zero where nothing takes over means."""
    power: Tensor
    """Mean square of all channels, shape (groups,)."""

    def damped(self, ridge: float) -> Tensor:
        """The second moments with a fraction of their mean added to the diagonal, so that they can be inverted.

        Args:
            ridge: The fraction. Channels that are constant to rounding, or dead, count as that.

        Returns:
            Shape (groups, channels, channels).
        """
        floor = torch.where(self.power > 0, ROUNDING * self.power, 1.0)
        added = torch.maximum(ridge * self.second.diagonal(dim1=1, dim2=2).mean(1), floor)
        return self.second + torch.diag_embed(added[:, None].expand(self.mean.shape))


def measure(network: fx.GraphModule, consumers: Sequence[Consumer], batches: Iterable[Inputs]) -> list[list[Moments]]:
    """Run images through the full network and gather the moments of what its layers read.

    Args:
        network: The full network; left as it was.
        consumers: The layers.
        batches: Normalised float tensors (n, C, H, W) without labels, on the network's device.

    Returns:
        For each layer, one entry for each of its blocks.

    Raises:
        EvaluationError: There are no images, the network does not take them, or a layer reads values that are not
            finite.
    """
    watch = _Watch(network, consumers)
    dtype = precision_of(network)
    with evaluating(network), torch.no_grad():
        for batch in batches:
            with explained(network, batch):
                watch.run(*positional(network, to_precision(batch, dtype)))
    if not watch.keys:
        raise EvaluationError("importance obs: there are no calibration images; give at least one batch")
    return [watch.moments(consumer) for consumer in consumers]


class _Sums:
    """Sums about a point near the mean, so that products in float32 lose nothing where means are large."""

    def __init__(self, rows: Tensor) -> None:
        self.origin = rows.mean(0, keepdim=True)
        self.count = 0
        self.first = self.second = torch.zeros((), dtype=torch.float64, device=rows.device)

    def add(self, rows: Tensor) -> None:
        """Add features, shape (positions, groups, channels)."""
        shifted = (rows - self.origin).transpose(0, 1)
        self.first = self.first + shifted.sum(1).double()
        self.second = self.second + (shifted.mT @ shifted).double()
        self.count += len(rows)

    def raw(self) -> tuple[Tensor, Tensor]:
        """The sums about zero, shapes (groups, channels) and (groups, channels, channels)."""
        origin = self.origin[0].double()
        cross = self.first[:, :, None] * origin[:, None, :]
        second = self.second + cross + cross.mT + self.count * origin[:, :, None] * origin[:, None, :]
        return self.first + self.count * origin, second


Key = tuple[fx.Node, int, int, int, bytes]
"""What is read: whose value, how often that was written to since, and how its features fall into channels."""


class _Watch(fx.Interpreter):
    """Runs a network and adds up what the consumers read; those that read the same share one sum."""

    def __init__(self, network: fx.GraphModule, consumers: Sequence[Consumer]) -> None:
        super().__init__(network)
        self.consumers = {consumer.layer: consumer for consumer in consumers}
        self.sums: dict[Key, _Sums] = {}
        self.keys: dict[tuple[str, int], dict[Key, None]] = {}
        """By layer and block, whose sums are its: one for each of its calls."""
        self._born: dict[fx.Node, int] = {}
        self._added: set[Key] = set()

    def run(self, *args: Any, **kwargs: Any) -> Any:
        self._born = {}
        self._added = set()
        return super().run(*args, **kwargs)

    def run_node(self, n: fx.Node) -> Any:
        consumer = self.consumers.get(str(n.target)) if n.op == "call_module" else None
        if consumer is not None:
            self._add(consumer, n.all_input_nodes[0])
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self._born[n] = value._version
        return value

    def _add(self, consumer: Consumer, source: fx.Node) -> None:
        x: Tensor = self.env[source]
        writes = x._version - self._born[source]
        for number, block in enumerate(consumer.blocks):
            key = (source, writes, consumer.groups, consumer.spatial, block.places.tobytes())
            self.keys.setdefault((consumer.layer, number), {})[key] = None
            if key not in self._added:
                self._added.add(key)
                rows = _channels(consumer, block, x)
                if not bool(torch.isfinite(rows).all()):
                    raise EvaluationError(
                        f"layer '{consumer.layer}': it reads values that are not finite on the calibration images;"
                        " look for the layer that makes them, or use a criterion that needs no images (l1)"
                    )
                self.sums.setdefault(key, _Sums(rows)).add(rows)

    def moments(self, consumer: Consumer) -> list[Moments]:
        """The moments of a layer's blocks, over all its calls."""
        found = []
        for number in range(len(consumer.blocks)):
            calls = [self.sums[key] for key in self.keys[consumer.layer, number]]
            count = sum(sums.count for sums in calls)
            firsts, seconds = zip(*(sums.raw() for sums in calls), strict=True)
            mean = sum(firsts) / count
            second = sum(seconds) / count
            power = second.diagonal(dim1=1, dim2=2).mean(1)
            if consumer.centred:
                second = second - mean[:, :, None] * mean[:, None, :]
            found.append(Moments(mean, second, power))
        return found


def _channels(consumer: Consumer, block: Block, x: Tensor) -> Tensor:
    """A block's channels in a layer's input, shape (positions, groups, channels), in the precision sums are made in."""
    rows = consumer.rows(x if x.dtype == torch.float64 else x.float())
    channels, features = block.places.shape
    if (channels, features) == (rows.shape[2], 1) and bool((block.places[:, 0] == range(channels)).all()):
        return rows
    picked = rows[:, :, torch.from_numpy(block.places).to(x.device)]
    return picked.movedim(3, 1).flatten(0, 1)
