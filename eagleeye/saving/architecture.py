"""A network's architecture as plain data: its graph, its layers' settings, and back, without running any code in it.

Only tensor operations of torch, arithmetic, and layers of torch.nn can be named (`eagleeye/stored/`), so reading a
description cannot do more than compute with tensors.
"""

from __future__ import annotations

import keyword
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx, nn

from eagleeye.errors import ArtifactError
from eagleeye.stored import limits
from eagleeye.stored.layers import build_layer, describe_layer
from eagleeye.stored.names import is_attribute
from eagleeye.stored.records import constructed, is_record
from eagleeye.stored.values import decode, encode
from eagleeye.stored.vocabulary import ATTRIBUTES, SAME_FUNCTIONS, SAME_METHODS, function_names, functions, methods

Shapes = Mapping[str, tuple[int, ...]]
"""The shapes of the tensors in a file, by name."""

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def describe(network: fx.GraphModule) -> dict[str, Any]:
    """Describe a traced or pruned network as JSON-ready data.

    Args:
        network: From `prune` or `load`.

    Returns:
        Nodes in order, layers with their settings, and directly used tensors.

    Raises:
        ArtifactError: It calls something that cannot be described.
    """
    nodes = []
    layers = {}
    tensors = {}
    used = [str(node.target) for node in network.graph.nodes if node.op in ("call_module", "get_attr")]
    for node in network.graph.nodes:
        if is_record(node.target):
            # Part of what reads it.
            continue
        target = str(node.target)
        try:
            nodes.append(describe_node(node))
            if node.op == "call_module":
                apart = {name[len(target) + 1 :].split(".")[0] for name in used if name.startswith(f"{target}.")}
                layers[target] = describe_layer(network.get_submodule(target), apart)
        except ArtifactError as error:
            raise ArtifactError(f"{_place(node)}: {error}") from error
        if node.op == "get_attr":
            value = operator.attrgetter(target)(network)
            kind = "parameter" if isinstance(value, nn.Parameter) else "buffer"
            tensors[target] = [kind, list(value.shape)]
    return {"nodes": nodes, "layers": layers, "tensors": tensors}


def unstorable(graph: fx.Graph, layer: Callable[[str], nn.Module], place: Callable[[fx.Node], str]) -> tuple[str, ...]:
    """What keeps a network from being stored, before there is one.

    Args:
        graph: Its forward pass.
        layer: The layer that a name stands for.
        place: Where an operation is in the network, in words.

    Returns:
        A sentence for each operation that cannot be stored.
    """
    found = []
    for node in graph.nodes:
        if is_record(node.target):
            continue
        try:
            describe_node(node)
            if node.op == "call_module":
                describe_layer(layer(str(node.target)))
        except ArtifactError as error:
            found.append(f"{place(node)}: {error}")
    return tuple(dict.fromkeys(found))


def describe_node(node: fx.Node) -> list[Any]:
    """One step of a forward pass as JSON-ready data.

    Args:
        node: Of a recorded graph.

    Returns:
        Its kind, name, target, arguments and arguments given by name.

    Raises:
        ArtifactError: It calls something that cannot be stored, or with what cannot be.
    """
    target = _target(node)
    args = node.args
    kwargs = dict(node.kwargs)
    if node.target is torch.empty:
        # What stands for it does not take it.
        kwargs.pop("memory_format", None)
    if node.op in ("call_function", "call_method"):
        _check_call(target, args, kwargs)
    return [node.op, node.name, target, encode(args), encode(kwargs)]


def _target(node: fx.Node) -> str:
    """The name a step's target is stored under."""
    if node.op == "call_method":
        return _method(node)
    if node.op != "call_function":
        return str(node.target)
    if node.target is getattr:
        if node.args[1] not in ATTRIBUTES:
            raise ArtifactError(f"a tensor's '{node.args[1]}' cannot be stored; use functions of torch instead")
        return "getattr"
    name = SAME_FUNCTIONS.get(node.target) or function_names().get(node.target)
    if name is None:
        raise ArtifactError("it cannot be stored; use other functions of torch instead")
    return name


def _method(node: fx.Node) -> str:
    name = SAME_METHODS.get(str(node.target), str(node.target))
    given = [*node.args[1:], *node.kwargs.values()]
    if name == "type" and given and all(isinstance(value, (torch.dtype, fx.Node)) for value in given):
        # With a type of torch it is the same; with a text it looks for a class of that name.
        return "to"
    if name not in methods():
        raise ArtifactError(f"a tensor's method '{name}' cannot be stored; use other methods or functions of torch")
    return name


def _place(node: fx.Node) -> str:
    return f"layer '{node.target}'" if node.op == "call_module" else f"operation '{node.name}'"


def rebuild(description: Any, name: str, shapes: Shapes) -> fx.GraphModule:
    """Build the network a description stands for; its weights are still to be loaded (`meta` device).

    Args:
        description: From `describe`, or from a stranger.
        name: Class name of the network.
        shapes: Those of the tensors that are to be loaded into it.

    Returns:
        The network in evaluation mode.

    Raises:
        ArtifactError: The description names something that is no tensor operation, or does not fit together.
    """
    nodes, layers, tensors = _sections(description)
    parts = _parts(layers, tensors, shapes)
    graph = fx.Graph()
    known: dict[str, fx.Node] = {}
    for position, entry in enumerate(nodes):
        op, node_name, target, args, kwargs = _node(entry, known)
        if (op == "output") != (position == len(nodes) - 1):
            raise ArtifactError("the last step, and no other, must be the output")
        called = _callable(op, target, args, kwargs, parts)
        args = constructed(graph, args)
        kwargs = constructed(graph, kwargs)
        known[node_name] = graph.create_node(op, called, args, kwargs, node_name)
    try:
        graph.lint()
        network = fx.GraphModule(parts, graph, class_name=name if name.isidentifier() else "Network").eval()
    # torch.fx and Python's compiler tell by many kinds of errors that names and calls do not go together.
    except Exception as error:
        raise ArtifactError(f"its steps do not fit together ({type(error).__name__})") from error
    found = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    if found != dict(shapes):
        wrong = min(key for key in {*found, *shapes} if found.get(key) != shapes.get(key))
        raise ArtifactError(f"tensor {wrong[:60]!r}: the layers need {found.get(wrong)}, there is {shapes.get(wrong)}")
    return network


def _sections(description: Any) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    given = description if isinstance(description, dict) else {}
    nodes = given.get("nodes")
    layers = given.get("layers")
    tensors = given.get("tensors")
    if not (isinstance(nodes, list) and isinstance(layers, dict) and isinstance(tensors, dict)):
        raise ArtifactError("it must hold nodes, layers and tensors")
    if not 0 < len(nodes) <= limits.NODES or len(layers) + len(tensors) > len(nodes):
        raise ArtifactError(f"{len(nodes)} steps for {len(layers)} layers: at most {limits.NODES:,}, none without")
    for path in (*layers, *tensors):
        if not is_attribute(path):
            raise ArtifactError(f"{path[:60]!r} is no name of a layer or tensor")
    return nodes, layers, tensors


def _parts(layers: dict[str, Any], tensors: dict[str, Any], shapes: Shapes) -> dict[str, Any]:
    """The layers and directly used tensors, without values."""
    names: dict[str, list[str]] = {}
    for name in shapes:
        for at, char in enumerate(name):
            if char == ".":
                names.setdefault(name[:at], []).append(name)
    parts: dict[str, Any] = {}
    for path, entry in layers.items():
        kind, settings = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
        parts[path] = build_layer(kind, settings, names.get(path, []))
    for path, entry in tensors.items():
        if entry not in (["parameter", list(shapes.get(path, ()))], ["buffer", list(shapes.get(path, ()))]):
            raise ArtifactError(f"tensor {path[:60]!r}: it is said to be {str(entry)[:60]}, which it is not")
        empty = torch.empty(shapes[path], device="meta") if path in shapes else None
        if empty is None:
            raise ArtifactError(f"tensor {path[:60]!r} is missing")
        parts[path] = nn.Parameter(empty) if entry[0] == "parameter" else empty
    return parts


def _node(entry: Any, known: Mapping[str, fx.Node]) -> tuple[str, str, str, tuple[Any, ...], dict[str, Any]]:
    """The parts of a stored step, decoded; none of them can break out of the code that is made of them."""
    if not (isinstance(entry, list) and len(entry) == 5 and all(isinstance(text, str) for text in entry[:3])):
        raise ArtifactError(f"{str(entry)[:60]!r} is no step of a forward pass")
    op, name, target = entry[:3]
    args = decode(entry[3], known)
    kwargs = decode(entry[4], known)
    if not isinstance(args, tuple) or not isinstance(kwargs, dict):
        raise ArtifactError(f"step {name[:60]!r} has no arguments")
    if not _NAME.fullmatch(name) or name == "self" or name in known:
        raise ArtifactError(f"{name[:60]!r} is no name of a step")
    for word in (name, *kwargs):
        if not isinstance(word, str) or not word.isidentifier() or keyword.iskeyword(word):
            raise ArtifactError(f"{str(word)[:60]!r} is no name")
    return op, name, target, args, kwargs


def _callable(op: str, target: str, args: tuple[Any, ...], kwargs: dict[str, Any], parts: dict[str, Any]) -> Any:
    """The target of a step, if it is one that may be called so."""
    part = parts.get(target)
    if op == "placeholder" and _is_parameter(target) and len(args) < 2 and not kwargs and not _nodes_in(args):
        return target
    if op == "output" and target == "output" and len(args) == 1 and not kwargs:
        return target
    if op == "get_attr" and isinstance(part, torch.Tensor) and not args and not kwargs:
        return target
    if op == "call_module" and isinstance(part, nn.Module):
        return target
    if op == "call_method" and target in methods() and args and isinstance(args[0], fx.Node):
        _check_call(target, args, kwargs)
        return target
    if op == "call_function" and target == "getattr" and _reads_attribute(args) and not kwargs:
        return getattr
    if op == "call_function" and target in functions():
        _check_call(target, args, kwargs)
        return functions()[target]
    raise ArtifactError(f"{op[:20]} {target[:60]!r} is no tensor operation")


def _reads_attribute(args: tuple[Any, ...]) -> bool:
    return len(args) == 2 and isinstance(args[0], fx.Node) and isinstance(args[1], str) and args[1] in ATTRIBUTES


def _check_call(target: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    limits.check_call(target, args, kwargs)
    if target in ("operator.pow", "operator.ipow") and any(type(power) is int and power > 1000 for power in args[1:]):
        raise ArtifactError("whole powers above 1,000 cannot be stored")


def _is_parameter(target: str) -> bool:
    """Whether it may name a parameter of a function: identifiers, behind `*` or `**` where it takes many."""
    name = target.removeprefix("*").removeprefix("*")
    return name.isidentifier() and not keyword.iskeyword(name) and name != "self"


def _nodes_in(value: Any) -> list[fx.Node]:
    found: list[fx.Node] = []
    fx.node.map_arg(value, found.append)
    return found
