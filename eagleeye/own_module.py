"""A pruned network's tensors in the user's own module: it keeps its class, its code and its attributes."""

from __future__ import annotations

import operator
import traceback
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from eagleeye.channels.deviation import deviation, first_deviation, rounding
from eagleeye.channels.places import user_line
from eagleeye.channels.plain import plain
from eagleeye.channels.probes import Inputs, of_another_batch, of_another_size
from eagleeye.channels.space import Space
from eagleeye.channels.untouched import copied, untouched
from eagleeye.errors import ModelError
from eagleeye.forward.inputs import Call, precision_of, to_precision
from eagleeye.forward.structures import tensors
from eagleeye.forward.wrappers import unwrapped
from eagleeye.references import described
from eagleeye.stored.names import attribute

_SIZES = (
    "in_channels", "out_channels", "groups", "in_features", "out_features", "num_features", "num_groups",
    "num_channels", "normalized_shape", "num_parameters",
)  # fmt: skip
"""What layers of torch.nn, and those that imitate them, know of their tensors' shapes."""
_OTHERWISE = "prune without inplace, which rewrites such code"


def take_over(model: nn.Module, thin: fx.GraphModule, space: Space) -> None:
    """Give a network the tensors of its pruned one, where its own code computes the same with them.

    Its parameters stay the objects they are, with new data and without gradients: what an optimiser remembers of them
    no longer fits. This is tried on a copy first, in evaluation mode against the pruned network, and in training mode.

    Args:
        model: The full network, or one of the same architecture.
        thin: Its pruned network.
        space: The space of both.

    Raises:
        ModelError: Its own code needs other shapes; the network is as it was.
    """
    _refuse_computed(model, space)
    with untouched(model):
        trial = _copy(model)
        _give(trial, thin, space)
        _compare(trial, model, thin, space)
    _give(model, thin, space)


def _refuse_computed(model: nn.Module, space: Space) -> None:
    name = f"network {type(model).__name__}"
    if unwrapped(model) is not model:
        raise ModelError(f"{name}: it wraps the network that is to be cut; give what is inside, and wrap that anew")
    if plain(model) is not model:
        raise ModelError(
            f"{name}: it computes weights from other tensors (torch.nn.utils), which cannot be cut in place; make them"
            f" plain parameters first (remove_parametrizations, remove_weight_norm), or {_OTHERWISE}"
        )
    layer = next((name for name, layer in space.lifted.items() if layer.computed), None)
    if layer is not None:
        raise ModelError(
            f"{name}: layer '{layer}' computes its weight from another tensor in forward(), which cannot be cut in"
            f" place; {_OTHERWISE}"
        )


def _copy(model: nn.Module) -> nn.Module:
    try:
        return copied(model)
    except Exception as error:  # whatever a user's module raises is the user's to read
        raise ModelError(
            f"network {type(model).__name__}: cutting it in place is tried on a copy, and it cannot be copied:"
            f" {described(error)}; prune without inplace"
        ) from error


def _give(model: nn.Module, thin: fx.GraphModule, space: Space) -> None:
    for name in space.shapes:
        own: Tensor = operator.attrgetter(name)(model)
        new: Tensor = operator.attrgetter(attribute(name))(thin)
        own.data = new.detach().to(own).clone()
        if own.is_leaf:
            own.grad = None
    for node in space.graph.nodes:
        if node.op == "call_module" and _is_own(space, str(node.target)):
            _copy_sizes(thin.get_submodule(attribute(str(node.target))), model.get_submodule(str(node.target)))


def _is_own(space: Space, name: str) -> bool:
    """Whether the user's network has a module of this name: not of steps, nor of functions without tensors."""
    return name not in space.steps and (name not in space.lifted or bool(space.lifted[name].tensors))


def _copy_sizes(source: nn.Module, target: nn.Module) -> None:
    for name in _SIZES:
        if name in vars(target) and hasattr(source, name):
            setattr(target, name, getattr(source, name))


def _compare(trial: nn.Module, model: nn.Module, thin: fx.GraphModule, space: Space) -> None:
    """Run the copy against the pruned network, and in training mode, where the network itself runs in it."""
    example = space.example.mapped(lambda tensor: _like(tensor, model))
    with untouched(thin), torch.no_grad():
        for network in (thin, trial, model):
            network.eval()
        sizes = of_another_size(example.tensors)
        size = next((probe for probe in sizes if isinstance(_outcome(model, example, probe), list)), None)
        batch = of_another_batch(example.tensors if size is None else size)
        for inputs in (example.tensors, size, batch):
            if inputs is not None:
                _compare_once(trial, thin, example, inputs)
        if batch is not None:
            _train_once(trial, model, example, batch)


def _like(tensor: Tensor, model: nn.Module) -> Tensor:
    device = next((parameter.device for parameter in model.parameters()), tensor.device)
    cast: Tensor = to_precision(tensor.to(device), precision_of(model))
    return cast


def _compare_once(trial: nn.Module, thin: fx.GraphModule, example: Call, inputs: Inputs) -> None:
    wanted = _outcome(thin, example, inputs)
    if isinstance(wanted, Exception):
        return
    found = _outcome(trial, example, inputs)
    limit = rounding(wanted)
    if isinstance(found, list) and deviation(found, wanted) <= limit:
        return
    place = first_deviation(
        lambda: _outcome(trial, example, inputs), thin, lambda called: example.with_tensors(inputs).on(called), limit
    )
    what = f"raises '{_first_line(found)}'" if isinstance(found, Exception) else "computes something else"
    raise ModelError(
        f"network {type(trial).__name__}: with these widths its own code {what}: {place} needs another number of"
        f" channels; take it from a tensor's shape there, trace with equal_parts=True if it splits, exclude these"
        f" layers, or {_OTHERWISE}"
    )


def _train_once(trial: nn.Module, model: nn.Module, example: Call, batch: Inputs) -> None:
    """What only training uses keeps its tensors, and may read channels that are gone."""
    found = _outcome(trial.train(), example, batch)
    if isinstance(found, list) or isinstance(_outcome(model.train(), example, batch), Exception):
        return
    frames = [(at.f_code.co_filename, number) for at, number in traceback.walk_tb(found.__traceback__)]
    raise ModelError(
        f"network {type(trial).__name__}: with these widths its own code raises '{_first_line(found)}' in training"
        f" mode{user_line(reversed(frames))}: what only training uses keeps its channels; keep those that it reads, too"
        " (exclude), or prune without inplace"
    )


def _outcome(network: Callable[..., Any], example: Call, inputs: Inputs) -> list[Tensor] | Exception:
    torch.manual_seed(1)
    try:
        return tensors(example.with_tensors(tensor.clone() for tensor in inputs).on(network))
    except Exception as error:  # whatever a network raises is compared, too
        return error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
