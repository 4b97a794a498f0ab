"""A pruned network refitted to itself: layer after layer, to what each one reads when those before it are done.

`eagleeye.reconstruction.refit` has every layer of a candidate do with part of what it reads in the trained network. In
the candidate it reads something else, because the layers before it err. Here a layer's weights are those of least
squares from its patches in the candidate (every position of its kernel apart) to its outputs in the trained network,
layer after layer (He et al., Channel Pruning, ICCV 2017, section 3.2; here batch normalisation is re-estimated, too).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from eagleeye.channels.steps import Kept
from eagleeye.channels.ties import Ids
from eagleeye.data import Batches
from eagleeye.errors import EvaluationError
from eagleeye.forward.inputs import Inputs, positional, precision_of, to_precision
from eagleeye.forward.modes import evaluating
from eagleeye.forward.running import explained
from eagleeye.forward.structures import mapped
from eagleeye.reconstruction.consumers import Consumer
from eagleeye.reconstruction.regression import Sums, by_position, is_plain, patches
from eagleeye.torch_layers import BatchNorm

AT_A_TIME = 64
"""Images whose patches are in memory at a time."""
POSITIONS = 4
"""Positions in all images for each input of a regression, at least: from fewer it learns the images by heart."""
MOST = 8192
"""Inputs of a regression, at most: its arithmetic grows with the cube."""

PIXELS = 2**23
"""Of the images that layers are refitted on in turn, at most: their activations are in memory together."""

Axes = Mapping[tuple[str, int], Ids]


def images_in_turn(images: Batches[Tensor], most: int) -> Tensor:
    """The images to refit layers on in turn, as one batch.

    Args:
        images: The calibration images.
        most: Images at most.
    """
    pixels = math.prod(images.part(0, 1).shape[-2:])
    return images.part(0, min(most, len(images.labels), max(PIXELS // pixels, 1)))


def refit_in_turn(
    full: fx.GraphModule,
    thin: fx.GraphModule,
    consumers: Sequence[Consumer],
    axes: Axes,
    kept: Kept,
    inputs: Inputs,
    ridge: float,
    way: type[SideBySide] | None = None,
) -> None:
    """Refit a pruned network layer after layer.

    Args:
        full: The trained network in the space's form.
        thin: The pruned network; its weights and biases change, its BN statistics do not.
        consumers: The layers, of which those that are called once and are plain convolutions or linear are refitted.
        axes: Channel ids of tensors' axes, by the tensors' names in the user's network.
        kept: Whether a channel stays, by id.
        inputs: Calibration images as one batch, on the network's device.
        ridge: As in `eagleeye.reconstruct`; it holds weights to what they were in the trained network.
        way: How a layer is refitted, where it is another way than `SideBySide`.

    Raises:
        EvaluationError: The network does not take such inputs.
    """
    # Both write in place what they like.
    given, own = (positional(full, mapped(to_precision(inputs, precision_of(full)), Tensor.clone)) for _ in range(2))
    with torch.no_grad(), evaluating(full), _on_their_own(thin), explained(full, inputs):
        (way or SideBySide)(full, thin, consumers, axes, kept, ridge).run_both(given, own)


class SideBySide(fx.Interpreter):
    """Runs the trained network and the pruned one node by node, and refits a layer when its input is there.

    Args:
        full: The trained network in the space's form.
        thin: The pruned network.
        consumers: The layers.
        axes: Channel ids of tensors' axes.
        kept: Whether a channel stays, by id.
        ridge: As in `eagleeye.reconstruct`.
    """

    def __init__(
        self,
        full: fx.GraphModule,
        thin: fx.GraphModule,
        consumers: Sequence[Consumer],
        axes: Axes,
        kept: Kept,
        ridge: float,
    ) -> None:
        super().__init__(full)
        self.thin = fx.Interpreter(thin)
        self.twin = dict(zip(full.graph.nodes, thin.graph.nodes, strict=True))
        calls = Counter(str(node.target) for node in full.graph.nodes if node.op == "call_module")
        plain = (one for one in consumers if is_plain(full.get_submodule(one.layer)))
        self.consumers = {one.layer: one for one in plain if calls[one.layer] == 1}
        self.axes = axes
        self.kept = kept
        self.ridge = ridge

    def run_both(self, given: Sequence[Any], own: Sequence[Any]) -> None:
        """Run both networks, each on a copy of the images."""
        self.thin.env = {}
        self.thin.args_iter = iter(own)
        self.run(*given)

    def run_node(self, n: fx.Node) -> Any:
        """Run a node of both, in the pruned network with its layer refitted."""
        twin = self.twin[n]
        consumer = self.consumers.get(str(n.target)) if n.op == "call_module" else None
        if consumer is not None:
            source = n.all_input_nodes[0]
            self.refit(consumer, self.env[source], self.thin.env[self.twin[source]])
        self.thin.env[twin] = self.thin.run_node(twin)
        for gone in self.user_to_last_uses.get(n, []):
            del self.thin.env[self.twin[gone]]
        return super().run_node(n)

    def refit(self, consumer: Consumer, x: Tensor, own: Tensor) -> None:
        """Refit a layer.

        Args:
            consumer: The layer.
            x: What it reads in the trained network.
            own: What it reads in the pruned one.
        """
        layer, target = self.layers(consumer)
        rows, columns = (self.stays(consumer, axis, layer.weight.shape[axis]).to(x.device) for axis in (0, 1))
        before: Tensor = layer.weight.detach()[rows][:, columns]
        inputs = before[0].numel()
        groups = consumer.groups
        if inputs > MOST:
            return
        sums = Sums(centred=consumer.centred)
        for part, wanted in zip(torch.split(own, AT_A_TIME), torch.split(x, AT_A_TIME), strict=True):
            y = by_position(layer(wanted), consumer.spatial)[:, rows]
            sums.add(patches(layer, part, groups), y.reshape(len(y), groups, -1))
        if sums.count < POSITIONS * inputs:
            return
        weight = sums.solve(before.double().reshape(groups, -1, inputs), self.ridge)
        if not bool(torch.isfinite(weight).all()):
            raise EvaluationError(
                f"layer '{consumer.layer}': refitted in turn its weights are not finite; leave in_turn out, or look for"
                " the layer before it whose outputs overflow"
            )
        target.weight.data = weight.reshape(before.shape).to(before.dtype)
        if consumer.has_bias:
            target.bias.data = sums.left(weight).flatten().to(before.dtype)

    def layers(self, consumer: Consumer) -> tuple[Any, Any]:
        """A layer in the trained network and in the pruned one."""
        return self.module.get_submodule(consumer.layer), self.thin.module.get_submodule(consumer.layer)

    def stays(self, consumer: Consumer, axis: int, count: int) -> Tensor:
        """Which positions of an axis of a layer's weight the pruned network has.

        Args:
            consumer: The layer.
            axis: The axis.
            count: How many there are in the trained network.
        """
        ids = self.axes.get((consumer.tensor, axis))
        return torch.ones(count, dtype=torch.bool) if ids is None else torch.from_numpy(self.kept[ids])


@contextmanager
def _on_their_own(network: nn.Module) -> Iterator[None]:
    """BN layers use the statistics of what they read; modes, and the statistics they keep, come back."""
    layers = [module for module in network.modules() if isinstance(module, BatchNorm)]
    kept = [{key: value.clone() for key, value in layer.named_buffers(recurse=False)} for layer in layers]
    with evaluating(network):
        for layer in layers:
            layer.training = True
        try:
            yield
        finally:
            for layer, saved in zip(layers, kept, strict=True):
                for key, value in layer.named_buffers(recurse=False):
                    value.copy_(saved[key])
