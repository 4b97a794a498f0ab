"""Put layers of torch.nn in the place of functions that compute the same: a forward pass in few, known words.

Networks often call `torch.nn.functional` on the tensors of a module of their own (a convolution that pads as
TensorFlow does, a normalisation with its activation inside, standardised weights). As a layer of torch.nn under the
same name, such a call needs no rule of its own, batch normalisation is found where it is re-estimated, and the
network can be stored without the user's code.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from eagleeye.channels.aliases import WRITTEN, Aliases
from eagleeye.channels.functional import ARGUMENTS, DROPOUTS, TENSORS, layer_of
from eagleeye.channels.tracer import VALUE

CONSTANT = "constant"
"""Key in `Node.meta`: whether the value depends on no input of the network."""

GROUPS = "groups"
"""Key in `Node.meta` of a size that is read as a number of groups, and may follow the width."""


@dataclass(frozen=True, eq=False)
class Lifted:
    """A layer of torch.nn that computes what the network's own code computes with the tensors of one module."""

    kind: type[nn.Module]
    settings: dict[str, Any]
    tensors: dict[str, str]
    """Qualified name of each of the layer's tensors, by the name the layer has for it."""
    computed: dict[str, fx.Graph]
    """How tensors are computed that the network does not hold as such (standardised weights), by the same names."""

    def build(self, model: nn.Module) -> nn.Module:
        """The layer, with the tensors of `model` themselves wherever they are not computed."""
        with torch.device("meta"):
            layer = self.kind(**self.settings)
        for key, name in self.tensors.items():
            tensor = self._computed(key, model) if key in self.computed else operator.attrgetter(name)(model)
            if key in layer._buffers:
                layer._buffers[key] = tensor
            else:
                setattr(layer, key, tensor if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor, False))
        for key, buffer in layer._buffers.items():
            # The count of batches, where the network's own normalisation keeps none.
            layer._buffers[key] = (
                torch.zeros_like(buffer, device="cpu") if buffer is not None and buffer.is_meta else buffer
            )
        return layer.train(model.training)

    def _computed(self, key: str, model: nn.Module) -> nn.Parameter:
        with torch.no_grad():
            value: Tensor = fx.Interpreter(model, graph=self.computed[key]).run()
        return nn.Parameter(value.detach().clone(), operator.attrgetter(self.tensors[key])(model).requires_grad)


def lift(root: nn.Module, graph: fx.Graph) -> tuple[dict[str, Lifted], dict[fx.Node, Lifted]]:
    """Rewrite a recorded forward pass in layers of torch.nn, in place.

    Args:
        root: The network the graph was recorded from.
        graph: From `record`.

    Returns:
        The layers that took a function's place, by the name of the module whose tensors they use; and functions that
        stay, because their tensors have no such module, each with the layer it amounts to.
    """
    _mark_constants(graph)
    found = {node: layer for node in graph.nodes if (layer := _layer_for(root, node)) is not None}
    layers = _owned(graph, found)
    for node in [node for node, layer in found.items() if layers.get(_owner(layer)) is not None]:
        _replace(graph, node, _owner(found.pop(node)))
    for node, layer in found.items():
        _follow_groups(graph, node, layer)
    for node in graph.nodes:
        _free_of_sizes(graph, node)
    layers |= _dropouts(graph)
    for node in reversed(graph.nodes):
        if (
            node.meta[CONSTANT]
            and not node.users
            and not node.meta.get(WRITTEN)
            and node.op not in ("placeholder", "output", "call_module")
        ):
            graph.erase_node(node)
    functions = {node: layer for node, layer in found.items() if not layer.computed}
    return layers, functions


def _owned(graph: fx.Graph, found: dict[fx.Node, Lifted]) -> dict[str, Lifted]:
    """The layers that can stand under a module's name: all calls with its tensors are alike, itself is never called."""
    called = {str(node.target) for node in graph.nodes if node.op == "call_module"}
    calls: dict[str, list[Lifted]] = {}
    for layer in found.values():
        calls.setdefault(_owner(layer), []).append(layer)
    return {
        owner: first
        for owner, (first, *others) in calls.items()
        if owner and owner not in called and all(_alike(first, other) for other in others)
    }


def _alike(one: Lifted, other: Lifted) -> bool:
    same = (one.kind, one.settings, one.tensors) == (other.kind, other.settings, other.tensors)
    computed = one.computed.keys() == other.computed.keys()
    return same and computed and all(_steps(one.computed[key]) == _steps(other.computed[key]) for key in one.computed)


def _steps(graph: fx.Graph) -> list[Any]:
    """What a computation does, its intermediate results by their numbers."""
    numbers = {node: number for number, node in enumerate(graph.nodes)}
    return [
        (
            node.op,
            node.target if node.op != "output" else "",
            *fx.node.map_arg((node.args, node.kwargs), lambda n: f"%{numbers[n]}"),
        )
        for node in graph.nodes
    ]


def _mark_constants(graph: fx.Graph) -> None:
    aliases = Aliases(graph)
    for node in graph.nodes:
        sources = node.all_input_nodes
        own = node.op == "get_attr" or (node.op not in ("placeholder", "output") and bool(sources))
        own = own and not aliases.written(node)
        node.meta[CONSTANT] = own and all(source.meta[CONSTANT] for source in sources)


def _layer_for(root: nn.Module, node: fx.Node) -> Lifted | None:
    """The layer that a call of a function amounts to, None where it is no such function."""
    if node.op != "call_function" or node.target not in ARGUMENTS:
        return None
    given: dict[str, Any] = dict(zip(ARGUMENTS[node.target], node.args, strict=False)) | node.kwargs
    source = given.get("input")
    nodes = {key: given[key] for key in TENSORS if isinstance(given.get(key), fx.Node)}
    if not isinstance(source, fx.Node) or source.meta[CONSTANT] or not isinstance(nodes.get("weight"), fx.Node):
        return None
    if not all(tensor.meta[CONSTANT] for tensor in nodes.values()):
        return None
    names = {key: _name_of(root, tensor, key) for key, tensor in nodes.items()}
    settings: Any = fx.node.map_arg({k: v for k, v in given.items() if k not in TENSORS}, lambda n: n.meta[VALUE])
    values = {key: tensor.meta[VALUE] for key, tensor in nodes.items()}
    described = layer_of(node.target, settings, values, source.meta[VALUE].dim())
    if described is None or not all(names.values()):
        return None
    kind, arguments = described
    tensors = {key: str(name) for key, name in names.items()}
    owner = tensors["weight"].rpartition(".")[0]
    if kind.__name__.startswith("BatchNorm"):
        module = root.get_submodule(owner)
        arguments["momentum"] = getattr(module, "momentum", arguments["momentum"])
        if isinstance(getattr(module, "num_batches_tracked", None), Tensor):
            tensors["num_batches_tracked"] = f"{owner}.num_batches_tracked".removeprefix(".")
    computed = {key: _computation(tensor) for key, tensor in nodes.items() if tensor.op != "get_attr"}
    raw = {tensors[key] for key in computed}
    readers = [
        user for other in node.graph.nodes if other.op == "get_attr" and other.target in raw for user in other.users
    ]
    # A tensor that takes part as it is, too, would be hidden behind the one computed from it.
    return Lifted(kind, arguments, tensors, computed) if all(user.meta[CONSTANT] for user in readers) else None


def _name_of(root: nn.Module, node: fx.Node, key: str) -> str | None:
    """The tensor an argument is, or the one it is computed from; None where that is not clear."""
    if node.op == "get_attr":
        return str(node.target)
    names = [str(n.target) for n in _ancestors(node) if n.op == "get_attr"]
    alike = [name for name in names if name.rpartition(".")[2] == key]
    if len(alike) != 1 or operator.attrgetter(alike[0])(root).shape != node.meta[VALUE].shape:
        return None
    return alike[0] if len({name.rpartition(".")[0] for name in names}) == 1 else None


def _ancestors(node: fx.Node) -> list[fx.Node]:
    found: dict[fx.Node, None] = {}
    pending = [node]
    while pending:
        current = pending.pop()
        if current not in found:
            found[current] = None
            pending += current.all_input_nodes
    return list(found)


def _computation(node: fx.Node) -> fx.Graph:
    wanted = set(_ancestors(node))
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for source in node.graph.nodes:
        if source in wanted:
            copies[source] = graph.node_copy(source, lambda n: copies[n])
            copies[source].meta.clear()
    graph.output(copies[node])
    return graph


def _owner(layer: Lifted) -> str:
    """The module whose tensors have the very names that the layer gives them, "" if there is none."""
    owner = layer.tensors["weight"].rpartition(".")[0]
    return owner if all(name == f"{owner}.{key}" for key, name in layer.tensors.items()) else ""


def _replace(graph: fx.Graph, node: fx.Node, owner: str) -> None:
    source = node.args[0] if node.args else node.kwargs["input"]
    with graph.inserting_before(node):
        call = graph.create_node("call_module", owner, (source,), {}, node.name)
    call.meta = dict(node.meta)
    node.replace_all_uses_with(call)
    graph.erase_node(node)


def _dropouts(graph: fx.Graph) -> dict[str, Lifted]:
    """Dropout that asks for the network's mode: recorded as a function it would be off for good."""
    layers: dict[str, Lifted] = {}
    for node in list(graph.nodes):
        given = dict(zip(("input", "p", "training", "inplace"), node.args, strict=False)) | node.kwargs
        if node.op == "call_function" and node.target in DROPOUTS and given.get("training") is False:
            name = f"{node.name}_layer"
            settings = {"p": given.get("p", 0.5), "inplace": given.get("inplace", False)}
            layers[name] = Lifted(DROPOUTS[node.target], settings, {}, {})
            _replace(graph, node, name)
    return layers


def _follow_groups(graph: fx.Graph, node: fx.Node, layer: Lifted) -> None:
    """Let a depthwise convolution that stays a function have as many groups as its input has channels."""
    if layer.settings.get("groups", 1) == 1 or layer.settings["groups"] != layer.settings["in_channels"]:
        return
    source = node.args[0] if node.args else node.kwargs["input"]
    with graph.inserting_before(node):
        count = graph.call_method("size", (source, 1))
    count.meta = {VALUE: layer.settings["groups"], CONSTANT: False, GROUPS: True}
    place = ARGUMENTS[node.target].index("groups")
    if len(node.args) > place:
        node.update_arg(place, count)
    else:
        node.update_kwarg("groups", count)


def _free_of_sizes(graph: fx.Graph, node: fx.Node) -> None:
    """Say "as it is" instead of a size where an expansion or a parameter's view repeats the size that is there."""
    if node.op != "call_method" or not isinstance(node.meta[VALUE], Tensor) or not node.all_input_nodes:
        return
    source = node.all_input_nodes[0].meta[VALUE]
    shape = node.meta[VALUE].shape
    if node.target == "expand":
        missing = len(shape) - source.dim()
        sizes: Any = node.args[1] if isinstance(node.args[1], (tuple, list)) else node.args[1:]
        if len(sizes) != len(shape):
            # Another tensor's size as a whole: it reads the channels there, which then stay.
            return
        # An axis of length 1 may be expanded to a batch that was one picture on the example alone.
        same = [axis >= missing and 1 < source.shape[axis - missing] == size for axis, size in enumerate(shape)]
        node.args = (node.args[0], *(-1 if kept else size for kept, size in zip(same, sizes, strict=True)))
    elif node.target in ("view", "reshape") and node.meta[CONSTANT] and sum(size > 1 for size in shape) == 1:
        node.args = (node.args[0], *(-1 if size > 1 else 1 for size in shape))
