"""What a network is called with: one tensor, several arguments, keyword arguments; each of any structure.

The same everywhere: a tuple holds the positional arguments; a mapping holds keyword arguments if `forward` takes them
by these names, and is the one argument otherwise; whatever else is given is the one argument. `(mapping,)` is always
one argument. A tuple may end with a mapping of keyword arguments, or with the arguments that `forward` takes by
keyword alone and must have.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from eagleeye.errors import ModelError
from eagleeye.forward.structures import mapped, tensors
from eagleeye.forward.wrappers import unwrapped

Inputs = Any
"""A tensor, a tuple of arguments, a mapping of keyword arguments, or one argument of any structure."""


class Call(NamedTuple):
    """The arguments of one call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def on(self, network: Callable[..., Any]) -> Any:
        """What a network returns for it."""
        return network(*self.args, **self.kwargs)

    @property
    def values(self) -> tuple[Any, ...]:
        """The arguments in order, those by keyword last."""
        return (*self.args, *self.kwargs.values())

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors in the arguments, in order."""
        return tuple(tensors(self.values))

    def mapped(self, change: Callable[[Tensor], Any]) -> Call:
        """The same call with every tensor changed."""
        args, kwargs = mapped((self.args, self.kwargs), change)
        return Call(args, kwargs)

    def with_tensors(self, others: Iterable[Tensor]) -> Call:
        """The same call with other tensors, in the order of `tensors`."""
        pending = iter(others)
        return self.mapped(lambda _tensor: next(pending))


def bind(network: nn.Module, inputs: Inputs) -> Call:
    """How a network is called with given inputs.

    Args:
        network: Any network.
        inputs: See above; a `Call` is one already.

    Returns:
        The arguments; where none of the ways fits, all as positional ones.
    """
    if isinstance(inputs, Call):
        return inputs
    signature = _signature(network)
    args = inputs if type(inputs) is tuple else (inputs,)
    ways = [Call((), dict(inputs))] if _names_arguments(inputs) else []
    ways.append(Call(args, {}))
    if len(args) > 1 and _names_arguments(args[-1]):
        ways.append(Call(args[:-1], dict(args[-1])))
    alone = [name for name, each in signature.parameters.items() if each.kind is each.KEYWORD_ONLY]
    required = [name for name in alone if signature.parameters[name].default is inspect.Parameter.empty]
    place = len(args) - len(required)
    if required and place >= 0:
        ways.append(Call(args[:place], dict(zip(required, args[place:], strict=True))))
    return next((way for way in ways if _fits(signature, way)), Call(args, {}))


def call(network: nn.Module, inputs: Inputs) -> Any:
    """Call a network with inputs as described above."""
    return bind(network, inputs).on(network)


def names_of(network: nn.Module, bound: Call) -> list[str]:
    """The names of a call's arguments, in order: those of the parameters that take them.

    Args:
        network: Any network.
        bound: From `bind`.
    """
    names: list[str] = []
    for name, each in _signature(network).parameters.items():
        if each.kind is each.VAR_POSITIONAL:
            names += [f"{name}_{place}" for place in range(len(bound.args) - len(names))]
        elif each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD):
            names.append(name)
    names += [f"input_{place}" for place in range(len(names), len(bound.args))]
    return [*names[: len(bound.args)], *bound.kwargs]


def positional(network: fx.GraphModule, inputs: Inputs) -> list[Any]:
    """A network's arguments in the order of its graph.

    Args:
        network: A traced network.
        inputs: As in `eagleeye.forward.inputs`.
    """
    args, kwargs = bind(network, inputs)
    names = [node.target for node in network.graph.nodes if node.op == "placeholder"]
    return [*args, *(kwargs[str(name)] for name in names[len(args) :] if name in kwargs)]


def precision_of(network: nn.Module) -> torch.dtype:
    """The type of a network's first weight of floating point, or its `input_precision`; float32 if it has neither."""
    told = getattr(network, "input_precision", None)
    if isinstance(told, torch.dtype):
        return told
    return next((tensor.dtype for tensor in network.parameters() if tensor.is_floating_point()), torch.float32)


def to_precision(inputs: Inputs, dtype: torch.dtype) -> Inputs:
    """The inputs in a precision: images are normalised in float32, whatever the network computes in.

    Args:
        inputs: A tensor or structure.
        dtype: For its tensors of floating point; others stay.
    """

    def cast(tensor: Tensor) -> Tensor:
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    return mapped(inputs, cast)


def _names_arguments(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(key, str) for key in value)


def _fits(signature: inspect.Signature, way: Call) -> bool:
    try:
        signature.bind(*way.args, **way.kwargs)
    except TypeError:
        return False
    return True


def _signature(network: nn.Module) -> inspect.Signature:
    try:
        return inspect.signature(unwrapped(network).forward)
    except ModelError:  # TorchScript: what it takes is told by its call alone
        return inspect.signature(lambda *_args: None)
