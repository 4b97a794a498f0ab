"""A recorded network against the network itself: whatever recording gets wrong is an error, never a network.

Both run on the example, on another batch with other values, on maps of another size where the network takes them, and
with the layers that the recording calls in training mode. Branches on `self.training` in the network's own code stay
those of evaluation mode there, since that is what is recorded: of the layers nothing but their own mode differs.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from eagleeye.channels.deviation import deviation, first_deviation, rounding
from eagleeye.channels.probes import Inputs, of_another_batch, of_another_size
from eagleeye.channels.space import Space
from eagleeye.channels.untouched import Snapshot, copied, untouched
from eagleeye.errors import TraceError
from eagleeye.forward.inputs import Call
from eagleeye.forward.structures import tensors
from eagleeye.stored.names import attribute
from eagleeye.thin import build_thin

Run = Callable[[Callable[..., Any], Inputs], Any]
"""Calls a network with tensors."""

_EXACT = 1e-9
"""What they may differ by in float64, where that is too little."""
_COARSE = 1e-3
"""What they may differ by where the network does not run in float64."""


def verify(model: nn.Module, space: Space, call: Call) -> Inputs | None:
    """Run a recorded network against the network it was recorded from.

    Args:
        model: The network; left as it was.
        space: Its search space.
        call: The example.

    Returns:
        Inputs of another size, where the network takes them and its recording does not.

    Raises:
        TraceError: They give different outputs; the message names the first operation that deviates.
    """
    inputs = call.tensors
    with untouched(model) as state:
        twins = _twins(model, space, lambda network, given: call.with_tensors(given).on(network), state)
        if _compare(twins, inputs, "on the example"):
            _compare(replace(twins, calls=2), inputs, "when it is called again, since it keeps something between calls")
        size = next((probe for probe in of_another_size(inputs) if not isinstance(twins.own(probe), Exception)), None)
        small = inputs
        stuck = size
        if size is not None and not isinstance(twins.other(size), Exception):
            _compare(twins, size, f"for inputs of shape {[tuple(tensor.shape) for tensor in size]}")
            small = size
            stuck = None
        batch = of_another_batch(small)
        if batch is not None:
            _compare(twins, batch, f"for a batch of {len(batch[0])} with other values")
            layers = {str(node.target) for node in space.graph.nodes if node.op == "call_module"}
            training = tuple(sorted(layers - set(space.lifted) - set(space.steps)))
            _compare(replace(twins, training=training), batch, "in training mode")
    return stuck


@dataclass(frozen=True)
class _Twins:
    """A network, and what was recorded of it with all channels kept."""

    model: nn.Module
    space: Space
    run: Run
    recorded: fx.GraphModule
    state: Snapshot
    buffers: tuple[tuple[Tensor, Tensor], ...]
    """The recording's buffers with their values."""
    training: tuple[str, ...] = ()
    """Layers in training mode; all others are in evaluation mode."""
    calls: int = 1
    """How often they are called with the same inputs, one after another."""

    def own(self, inputs: Inputs) -> list[Tensor] | Exception:
        """What the network gives, or raises."""
        return self._outcome(self.model, inputs)

    def other(self, inputs: Inputs) -> list[Tensor] | Exception:
        """What the recording gives, or raises."""
        return self._outcome(self.recorded, inputs)

    def prepare(self) -> None:
        """Put both into the state and the modes they are compared in."""
        self.state.restore()
        for buffer, value in self.buffers:
            buffer.copy_(value)
        for network in (self.model, self.recorded):
            network.eval()
            for name in self.training:
                self._layer(network, name).train()

    def seeded(self, network: nn.Module, inputs: Inputs) -> list[Tensor]:
        """A network's outputs, the same ones at every call."""
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(1)
        with torch.no_grad():
            output = self.run(network, tuple(tensor.clone() for tensor in inputs))
        return [tensor.clone() for tensor in tensors(output)]

    def _outcome(self, network: nn.Module, inputs: Inputs) -> list[Tensor] | Exception:
        self.prepare()
        try:
            outputs = [tensor for _ in range(self.calls) for tensor in self.seeded(network, inputs)]
        except Exception as error:  # whatever a network raises is compared, too
            return error
        return outputs + [buffer.clone() for name in self.training for buffer in self._layer(network, name).buffers()]

    def _layer(self, network: nn.Module, name: str) -> nn.Module:
        return network.get_submodule(name if network is self.model else attribute(name))


def _twins(model: nn.Module, space: Space, run: Run, state: Snapshot) -> _Twins:
    recorded = build_thin(model, space, [np.ones(group.channels, dtype=bool) for group in space.groups])
    return _Twins(model, space, run, recorded, state, tuple((buffer, buffer.clone()) for buffer in recorded.buffers()))


def _compare(twins: _Twins, inputs: Inputs, when: str) -> bool:
    """Refuse a recording that differs; otherwise say whether the network changed in this run."""
    own = twins.own(inputs)
    changed = twins.state.restore()
    if isinstance(own, Exception):
        # What the network does not take, nobody gives to the pruned one.
        return changed
    other = twins.other(inputs)
    if isinstance(other, Exception) or deviation(other, own) > rounding(own):
        _confirm(twins, inputs, own, when)
    return changed


def _confirm(twins: _Twins, inputs: Inputs, own: list[Tensor], when: str) -> None:
    """Compare once more in float64, where only what is wrong is left of a difference."""
    again = twins.own(inputs)
    if isinstance(again, Exception) or deviation(again, own) > rounding(own):
        raise TraceError(
            f"network {type(twins.model).__name__}: it gives another output each time for the same input, so that its"
            " recording cannot be compared with it; take what varies out of forward()"
        )
    exact = _doubled(twins)
    doubles = tuple(t.double() if t.is_floating_point() else t for t in inputs)
    limit = _EXACT
    if exact is None or isinstance(own64 := exact.own(doubles), Exception):
        exact = twins
        doubles = inputs
        own64 = own
        limit = _COARSE
    other = exact.other(doubles)
    difference = float("inf") if isinstance(other, Exception) else deviation(other, own64)
    if difference > limit:
        raise TraceError(_refusal(exact, doubles, limit, when, other, difference))


def _doubled(twins: _Twins) -> _Twins | None:
    """Both in float64, None where the network cannot be copied."""
    twins.state.restore()
    try:
        model = copied(twins.model).double()
    except Exception:  # networks that cannot be copied are compared as they are
        return None
    return replace(_twins(model, twins.space, twins.run, Snapshot(model)), training=twins.training, calls=twins.calls)


def _refusal(
    twins: _Twins, inputs: Inputs, limit: float, when: str, other: list[Tensor] | Exception, difference: float
) -> str:
    twins.prepare()
    torch.manual_seed(1)
    copies = tuple(tensor.clone() for tensor in inputs)
    own = partial(twins.seeded, twins.model, inputs)
    place = first_deviation(own, twins.recorded, lambda called: twins.run(called, copies), limit)
    what = f"raises '{str(other).strip().splitlines()[0]}'" if isinstance(other, Exception) else "gives another output"
    size = "" if difference == float("inf") else f" (largest relative difference {difference:.2g})"
    return (
        f"network {type(twins.model).__name__}: its recording {what} {when}{size}: {place} deviates first; results must"
        " follow from inputs and weights by operations of torch, not from numbers read from tensors or kept elsewhere:"
        " rewrite that line"
    )
