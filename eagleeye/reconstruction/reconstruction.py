"""A trained network seen by what its layers read: which channels to remove, and how others take over."""

from __future__ import annotations

import operator
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from eagleeye.channels.core import apart, core_inputs
from eagleeye.channels.plain import plain
from eagleeye.channels.space import Space
from eagleeye.channels.steps import Kept
from eagleeye.channels.ties import FIXED, Ids
from eagleeye.errors import ConfigError, StrategyError
from eagleeye.forward.inputs import Inputs
from eagleeye.importance.filters import l1_norm
from eagleeye.reconstruction.consumers import Block, Consumer, find_consumers
from eagleeye.reconstruction.in_turn import refit_in_turn
from eagleeye.reconstruction.moments import Moments, measure
from eagleeye.reconstruction.order import Layer, eliminate
from eagleeye.reconstruction.refit import Refit, by_channel, inputs_last
from eagleeye.thin import build_thin, check_fits

RIDGE = 1e-3
"""Added to the diagonal of second moments, as a fraction of its mean."""
Scores = npt.NDArray[np.float64]


def reconstruct(model: nn.Module, space: Space, batches: Iterable[Tensor], *, ridge: float = RIDGE) -> Reconstruction:
    """Measure what every layer of a trained network reads, in one pass over images without labels.

    Args:
        model: The trained network, left untouched.
        space: Its search space.
        batches: Calibration images: normalised float tensors (n, C, H, W) on the network's device.
        ridge: What is added to the diagonal of second moments, as a fraction of its mean: the larger, the less one
            channel takes over from another.

    Returns:
        The criterion and the refitting, for `prune` and `Engine`.

    Raises:
        StrategyError: The space was traced from another network.
        ConfigError: The ridge is not positive.
        EvaluationError: There are no images, or a layer reads values that are not finite.
    """
    if not ridge > 0:
        raise ConfigError(f"ridge: {ridge} must be positive, e.g. {RIDGE}")
    core, alone = apart(model, space)
    core = plain(core)
    check_fits(core, space)
    reaching = (core_inputs(model, space.core, batch) for batch in batches)
    network = build_thin(core, space, [np.ones(group.channels, dtype=bool) for group in space.groups]).eval()
    consumers, others = find_consumers(space, network)
    return Reconstruction(alone, network, consumers, others, measure(network, consumers, reaching), ridge)


class Reconstruction:
    """What `reconstruct` found; read by any number of threads at a time.

    Attributes:
        space: The search space of the network, or of its core by itself.
        network: The full network, or its core, in the space's form.
        consumers: The layers that are refitted where they lose inputs, in order of execution.
        moments: For each of them, of what it reads, one entry for each of its blocks.
        ridge: Added to the diagonal of second moments, as a fraction of its mean.
        not_refitted: A sentence for each layer that loses input channels and cannot make up for them.
    """

    def __init__(
        self,
        space: Space,
        network: fx.GraphModule,
        consumers: Sequence[Consumer],
        others: Sequence[str],
        moments: Sequence[Sequence[Moments]],
        ridge: float,
    ) -> None:
        self.space = space
        self.not_refitted = tuple(others)
        self.network = network
        self.consumers = tuple(consumers)
        self.ridge = ridge
        self.moments = tuple(moments)
        self._refits: dict[bytes, Refit] = {}
        self._lock = threading.Lock()

    def order(self, model: nn.Module, space: Space) -> list[Scores]:
        """Importance criterion `obs`: how long a channel stays when they go one by one, the cheapest one first.

        The cost of a channel is what its removal adds to the output errors of the layers that read it, each relative to
        its output's energy, after they are refitted (optimal brain surgeon; Hassibi and Stork, NIPS 1992).

        Args:
            model: The network that this was measured with.
            space: Its search space.

        Returns:
            Per group, the importance of each channel.

        Raises:
            StrategyError: The model is not the one that this was measured with.
        """
        self.check(model)
        scores = []
        for order, _ in self.removals:
            steps = np.empty(len(order))
            steps[order] = np.arange(len(order))
            scores.append(steps)
        return scores

    @property
    def errors(self) -> list[Scores]:
        """Per group, the error with 0, 1, … channels removed, shape (channels,): sums of relative output errors."""
        return [np.concatenate([[0.0], np.cumsum(added[:-1])]) for _, added in self.removals]

    @cached_property
    def removals(self) -> list[tuple[npt.NDArray[np.int64], Scores]]:
        """Per group, its channels in the order in which they go, and what each removal adds to the error."""
        layers = self._layers()
        found = []
        for ids, norms in zip(self.space.ids, l1_norm(self.network, self.space), strict=True):
            known = [layer for block, whole in layers for layer in whole.of(block, ids)]
            found.append(eliminate(known) if known else _by_norm(norms))
        return found

    def _layers(self) -> list[tuple[Block, _Whole]]:
        """Every block of channels that a layer reads, with what its error is made of."""
        free = ~np.isin(np.arange(self.space.id_count), np.concatenate(self.space.ids))
        found = []
        for consumer, moments in zip(self.consumers, self.moments, strict=True):
            weight = inputs_last(self._weight(consumer), consumer.axis)
            parts = []
            for block, one in zip(consumer.blocks, moments, strict=True):
                weights = by_channel(weight, torch.from_numpy(block.places).to(weight.device), consumer.groups)
                parts.append((block, weights.mT @ weights, one))
            energy = float(sum((products * one.second).sum() for _, products, one in parts))
            found += [
                (block, _Whole(products, one.damped(self.ridge), energy, free[block.ids]))
                for block, products, one in parts
                if energy > 0
            ]
        return found

    def refit(self, order: Sequence[npt.NDArray[np.int64]]) -> Refit:
        """The refitting for candidates whose channels go in some order; made once for each.

        Args:
            order: Per group, its channels, those that stay longest first.
        """
        key = b"".join(one.astype(np.int64).tobytes() for one in order)
        with self._lock:
            if key not in self._refits:
                self._refits[key] = Refit(self.space, self.network, self.consumers, self.moments, order, self.ridge)
            return self._refits[key]

    def in_turn(self, thin: fx.GraphModule, kept: Kept, inputs: Inputs) -> None:
        """Refit a pruned network's layers one after another, each to what it reads there.

        Layers that are called more than once, transposed convolutions, and those with too many inputs for the images
        keep what `refit` gave them. Without anything removed nothing changes.

        Args:
            thin: The pruned network; its weights and biases change, its BN statistics do not.
            kept: Whether a channel stays, by id.
            inputs: Calibration images as one batch, on the network's device.

        Raises:
            EvaluationError: The network does not take them.
        """
        if not kept.all():
            axes = {(axis.tensor, axis.axis): axis.ids for axis in self.space.axes}
            refit_in_turn(self.network, thin, self.consumers, axes, kept, inputs, self.ridge)

    def check(self, model: nn.Module) -> None:
        """Check that a model is the one that this was measured with.

        Raises:
            StrategyError: Its weights are others.
        """
        model = plain(model)
        check_fits(model, self.space)
        for consumer in self.consumers:
            layer = self.space.layer(model, consumer.tensor.removesuffix(".weight"))
            if not torch.equal(layer.get_parameter("weight"), self._weight(consumer)):
                raise StrategyError(
                    f"layer '{consumer.layer}': its weight is not the one that was measured; call reconstruct() with"
                    " the network that is to be pruned"
                )

    def _weight(self, consumer: Consumer) -> Tensor:
        weight: Tensor = operator.attrgetter(consumer.weight)(self.network).detach()
        return weight


@dataclass(frozen=True, eq=False)
class _Whole:
    """What a layer's error is made of, for all channels of a block; shapes (groups, channels, channels)."""

    products: Tensor
    second: Tensor
    energy: float
    stays: npt.NDArray[np.bool_]
    """Which of the channels never go, shape (channels,)."""

    def of(self, block: Block, ids: Ids) -> list[Layer]:
        """The part that concerns a group's channels, with those that never go at hand to take over."""
        place = {int(one): number for number, one in enumerate(block.ids) if one != FIXED}
        if int(ids[0]) not in place:
            return []
        own = [place[int(one)] for one in ids]
        known = own + np.flatnonzero(self.stays).tolist()
        layers = []
        for products, second in zip(self.products, self.second, strict=True):
            inverse = torch.linalg.inv(second[known][:, known])[: len(own), : len(own)]
            layers.append(Layer(inverse.cpu().numpy(), products[own][:, own].cpu().numpy(), self.energy))
        return layers


def _by_norm(norms: Scores) -> tuple[npt.NDArray[np.int64], Scores]:
    """The order by L1 norm, each channel costing its share of the squared norms."""
    order = np.argsort(norms, kind="stable")
    added = norms[order] ** 2 / max(float((norms**2).sum()), np.finfo(np.float64).tiny)
    added[-1] = np.inf
    return order, added
