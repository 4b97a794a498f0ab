"""The core of a network: the module inside that is traced and pruned, while the whole is what runs.

Detectors choose boxes by their values, which no recording follows; their backbones and heads only compute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from eagleeye.channels.space import Space
from eagleeye.channels.untouched import copied, untouched
from eagleeye.errors import ModelError, close_names
from eagleeye.forward.inputs import Call, Inputs, bind
from eagleeye.forward.modes import evaluating
from eagleeye.forward.running import run, shapes_of
from eagleeye.forward.wrappers import unwrapped


def core_of(model: nn.Module, name: str) -> nn.Module:
    """The module of a network that is traced and pruned.

    Args:
        model: The whole network, wrapped or not.
        name: The core's name in it, as in `named_modules`; empty: the network itself.

    Returns:
        The module.

    Raises:
        ModelError: There is none of that name.
    """
    whole = unwrapped(model)
    known = {each: module for each, module in whole.named_modules(remove_duplicate=False) if each}
    if name and name not in known:
        parts = [each for each, _ in whole.named_children()]
        raise ModelError(
            f"core {name!r}: network {type(whole).__name__} has no such module;"
            f" {close_names(name, list(known), parts[:4])}"
        )
    return known[name] if name else whole


def with_core(model: nn.Module, name: str, core: nn.Module) -> nn.Module:
    """A copy of a network with another module in the place of its core, wherever that is used.

    Args:
        model: The whole network, left untouched.
        name: The core's name in it.
        core: What takes its place; not copied.

    Returns:
        The copy; where the network is its own core, `core` itself.
    """
    return copied(unwrapped(model), {core_of(model, name): core}) if name else core


def apart(model: nn.Module, space: Space) -> tuple[nn.Module, Space]:
    """The core of a network by itself, with its search space.

    Args:
        model: The whole network.
        space: From `eagleeye.trace`.

    Returns:
        The core, and the space as if the core alone had been traced.
    """
    return (core_of(model, space.core), replace(space, core="")) if space.core else (model, space)


def core_inputs(model: nn.Module, name: str, inputs: Inputs) -> Inputs:
    """What reaches the core when the whole network is run; it is run no further, in evaluation mode.

    Args:
        model: The whole network, left as it was.
        name: The core's name in it.
        inputs: What the network takes, as in `eagleeye.forward.inputs`.

    Returns:
        What the core takes; `inputs` themselves where the network is its own core.

    Raises:
        EvaluationError: The network does not take such inputs.
        ModelError: The core is never called.
    """
    if not name:
        return inputs

    def stop(call: Call) -> None:
        raise _ReachedError(call)

    try:
        with evaluating(unwrapped(model)), torch.no_grad(), _told(core_of(model, name), stop):
            run(model, inputs)
    except _ReachedError as reached:
        return reached.call
    raise _never(name)


def core_call(model: nn.Module, name: str, inputs: Inputs) -> Call:
    """The one call of the core in a forward pass of the whole network.

    Args:
        model: The whole network, left as it was.
        name: The core's name in it.
        inputs: What the network takes.

    Raises:
        EvaluationError: The network does not take such inputs.
        ModelError: The core is never called, or more than once.
    """
    core = core_of(model, name)
    if not name:
        return bind(core, inputs)
    calls: list[Call] = []

    def note(call: Call) -> None:
        calls.append(call.mapped(lambda tensor: tensor.detach().clone()))

    with untouched(model), evaluating(unwrapped(model)), torch.no_grad(), _told(core, note):
        run(model, inputs)
    if not calls:
        raise _never(name)
    if len(calls) > 1:
        shapes = "; ".join(dict.fromkeys(shapes_of(call) for call in calls))
        outer = name.rpartition(".")[0]
        raise ModelError(
            f"core {name!r}: a forward pass calls it {len(calls)} times, with {shapes}; needed is one that is called"
            f" once{f', e.g. {outer!r}, which holds it' if outer else ''}"
        )
    return calls[0]


class _ReachedError(Exception):
    def __init__(self, call: Call) -> None:
        self.call = call


def _never(name: str) -> ModelError:
    return ModelError(f"core {name!r}: a forward pass in evaluation mode does not call it; name a module that it calls")


@contextmanager
def _told(module: nn.Module, tell: Callable[[Call], None]) -> Iterator[None]:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tell(Call(args, kwargs))

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
