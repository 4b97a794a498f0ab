"""Statistics of batch-normalisation layers as averages over all calls, however often a forward pass calls a layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from eagleeye.forward.inputs import Inputs
from eagleeye.forward.modes import evaluating
from eagleeye.forward.running import run
from eagleeye.torch_layers import BatchNorm


class LayerAverage:
    """Sets a layer's momentum call by call, so that its running statistics become the wanted average.

    Args:
        layer: A layer in training mode.
        momentum: None for the plain average over all calls, each weighted by the images of its batch. Otherwise the
            share that a forward pass has in an exponential average; its calls have equal parts of that.
        weight: What the present statistics count for in the plain average: images, once for every call; 0 drops them.
    """

    def __init__(self, layer: BatchNorm, momentum: float | None, weight: int) -> None:
        self.layer = layer
        self.calls = 0
        """In the present forward pass."""
        self.used = False
        """Whether any pass has changed the statistics."""
        self.uncalled = False
        """Whether that happened without a call of the layer."""
        self._momentum = momentum
        self._weight = weight
        self._images = 0
        self._before: list[Tensor] = []

    def begin(self, images: int) -> None:
        """A forward pass of so many images begins."""
        self.calls = 0
        self._images = images
        # For code that normalises with the layer's tensors and its momentum, but does not call it.
        self.layer.momentum = self._next_share()
        if not self.used:
            self._before = self._copies()

    def called(self) -> None:
        """The layer is about to compute."""
        if self._momentum is None and not self._weight:
            self.layer.reset_running_stats()
        if self._momentum is not None and self.calls:
            self._make_room(self._momentum)
        elif self._momentum is not None:
            self._before = self._copies()
        self.layer.momentum = self._next_share()
        self._count()

    def end(self) -> None:
        """The forward pass is over."""
        if not self.used:
            self.uncalled = not torch.equal(self._before[0], self._copies()[0])
        if self.uncalled and not self.calls:
            self._count()

    def _count(self) -> None:
        self.calls += 1
        self._weight += self._images
        self.used = True

    def _next_share(self) -> float:
        if self._momentum is not None:
            return self._momentum / (self.calls + 1)
        # The share of these images in all so far makes the running average the plain average.
        return self._images / (self._weight + self._images)

    def _make_room(self, momentum: float) -> None:
        """Give the earlier calls of this pass, which share `momentum` among them, their parts with one more call."""
        left = self.calls + 1 - momentum
        for now, before in zip(self._tensors(), self._before, strict=True):
            now.mul_(self.calls / left).add_(before, alpha=(1 - momentum) / left)

    def _copies(self) -> list[Tensor]:
        return [tensor.clone() for tensor in self._tensors()]

    def _tensors(self) -> list[Tensor]:
        return [tensor for tensor in (self.layer.running_mean, self.layer.running_var) if tensor is not None]


@contextmanager
def told_of_calls(averages: Sequence[LayerAverage]) -> Iterator[None]:
    """Tell averages of their layers' calls; the layers' other hooks stay as they are.

    Args:
        averages: One for each layer.
    """
    with _before_calls({average.layer: average.called for average in averages}):
        yield


def calls_per_pass(model: nn.Module, layers: Sequence[BatchNorm], batch: Inputs) -> list[int]:
    """How often a forward pass calls each layer.

    Args:
        model: The network.
        layers: Some of its layers; their statistics stay as they are.
        batch: What the network takes, as in `eagleeye.forward.inputs`.

    Returns:
        A count for each layer.
    """
    if isinstance(model, fx.GraphModule):
        called = Counter(model.get_submodule(str(n.target)) for n in model.graph.nodes if n.op == "call_module")
        if set(layers) <= set(called):
            return [called[layer] for layer in layers]
    counts: Counter[nn.Module] = Counter()

    def counter(layer: nn.Module) -> Callable[[], None]:
        return lambda: counts.update([layer])

    with _before_calls({layer: counter(layer) for layer in layers}), evaluating(model):
        run(model, batch)
    return [counts[layer] for layer in layers]


@contextmanager
def _before_calls(actions: dict[BatchNorm, Callable[[], None]]) -> Iterator[None]:
    def hook(layer: Any, _inputs: tuple[Any, ...]) -> None:
        actions[layer]()

    handles = [layer.register_forward_pre_hook(hook) for layer in actions]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
