"""Build the network that is left: every tensor cut, every layer's own sizes with it."""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, fx, nn

from eagleeye.channels.layer_rules import groups_stay
from eagleeye.channels.plain import plain
from eagleeye.channels.space import Space
from eagleeye.channels.steps import Kept
from eagleeye.errors import StrategyError
from eagleeye.stored.names import attribute
from eagleeye.torch_layers import BatchNorm, ConvNd, InstanceNorm


def build_thin(model: nn.Module, space: Space, chosen: Sequence[npt.NDArray[np.bool_]]) -> fx.GraphModule:
    """Build the network that keeps the chosen channels.

    Args:
        model: The full network, left untouched.
        space: Its search space.
        chosen: Per group a mask over its channels, as `choose` gives.

    Returns:
        The thin network; parameters are copies.
    """
    model = plain(model)
    kept = space.kept(chosen)
    graph: fx.Graph = copy.deepcopy(space.graph)
    memo: dict[int, Any] = {}
    parts: dict[str, Any] = {}
    for node in graph.nodes:
        name = str(node.target)
        if node.op == "get_attr":
            full = space.constants[name] if name in space.constants else operator.attrgetter(name)(model)
            parts[name] = _thin_tensor(space, name, full, kept, memo)
        elif node.op == "call_module" and name in space.steps:
            parts[name] = space.steps[name].build(kept)
        elif node.op == "call_module" and name not in parts:
            parts[name] = _thin_layer(space, name, space.layer(model, name), kept, memo)
    for name, layer in space.lifted.items():
        for key in layer.computed:
            if f"{name}.{key}" in parts:  # its size is read: that of the computed one is the same
                parts[f"{name}.{key}"] = parts[name].get_parameter(key)
    _make_reachable(graph)
    reachable = {attribute(name): part for name, part in parts.items()}
    thin = fx.GraphModule(reachable, graph, class_name=type(model).__name__)
    for name in space.steps:
        thin.get_submodule(name).to(_device_of(model))
    return thin.train(model.training)


def _make_reachable(graph: fx.Graph) -> None:
    """Give everything a name that the code made of the graph can say."""
    for node in graph.nodes:
        if node.op in ("call_module", "get_attr"):
            node.target = attribute(str(node.target))
        if node.name == "self":
            node._rename("self_")


def check_fits(model: nn.Module, space: Space) -> None:
    """Check that a model has the tensors that the space was traced with.

    Args:
        model: A network.
        space: A search space.

    Raises:
        StrategyError: A tensor is missing or has another shape.
    """
    model = plain(model)
    for name, shape in space.shapes.items():
        try:
            found = operator.attrgetter(name)(model).shape
        except AttributeError:
            found = None
        if found != shape:
            raise StrategyError(
                f"tensor '{name}': the space was traced with shape {tuple(shape)}, the model has"
                f" {'none' if found is None else tuple(found)}; trace the model that is to be pruned"
            )


def _thin_layer(space: Space, name: str, layer: nn.Module, kept: Kept, memo: dict[int, Any]) -> nn.Module:
    """A copy of a layer in which `memo` holds the cut tensors in the full ones' place."""
    tensors = [*layer.named_parameters(remove_duplicate=False), *layer.named_buffers(remove_duplicate=False)]
    for key, tensor in tensors:
        _thin_tensor(space, f"{name}.{key}", tensor, kept, memo)
    thin = copy.deepcopy(layer, memo)
    set_sizes(thin, layer)
    return thin


def _thin_tensor(space: Space, name: str, tensor: Tensor, kept: Kept, memo: dict[int, Any]) -> Tensor:
    if id(tensor) not in memo:
        cut = space.thin(name, tensor, kept)
        memo[id(tensor)] = nn.Parameter(cut, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else cut
    result: Tensor = memo[id(tensor)]
    return result


def set_sizes(thin: nn.Module, full: nn.Module) -> None:
    """Make a layer's own size attributes agree with its tensors.

    Args:
        thin: A layer whose tensors were cut.
        full: The layer they were cut from.
    """
    if isinstance(thin, ConvNd):
        assert isinstance(full, ConvNd)
        rows, columns = thin.weight.shape[:2]
        whole = full.groups == 1 or groups_stay(full)
        thin.groups = full.groups if whole else full.groups * rows // len(full.weight)
        inputs, filters = (rows, columns * thin.groups) if thin.transposed else (columns * thin.groups, rows)
        thin.in_channels = inputs
        thin.out_channels = filters
    elif isinstance(thin, nn.Linear):
        thin.out_features, thin.in_features = thin.weight.shape
    elif isinstance(thin, (BatchNorm, InstanceNorm)):
        tensors = (thin.weight, thin.running_mean)
        thin.num_features = next((len(t) for t in tensors if t is not None), thin.num_features)
    elif isinstance(thin, nn.GroupNorm) and thin.weight is not None:
        thin.num_groups = max(thin.num_groups * len(thin.weight) // thin.num_channels, 1)
        thin.num_channels = len(thin.weight)
    elif isinstance(thin, nn.LayerNorm) and thin.weight is not None:
        thin.normalized_shape = tuple(thin.weight.shape)
    elif isinstance(thin, nn.PReLU):
        thin.num_parameters = len(thin.weight)


def check_widths(space: Space, widths: Sequence[int]) -> None:
    """Check that widths fit a space.

    Args:
        space: A search space.
        widths: Channels left per group.

    Raises:
        StrategyError: Wrong number of widths, or one out of range.
    """
    if len(widths) != len(space.groups):
        raise StrategyError(
            f"strategy: it has {len(widths)} widths, but this network has {len(space.groups)} groups;"
            " sample strategies from the space of the model that is to be pruned"
        )
    for group, width in zip(space.groups, widths, strict=True):
        if not 1 <= width <= group.channels:
            raise StrategyError(f"width of group '{group.name}': {width} is outside [1, {group.channels}]")


def _device_of(model: nn.Module) -> Any:
    return next((tensor.device for tensor in model.parameters()), "cpu")
