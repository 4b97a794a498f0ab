"""A network's architecture as plain data: its graph, its layers' settings, and back, without running any code in it.

Only tensor operations of torch, arithmetic, and layers of torch.nn can be named, so reading a description cannot
do more than compute with tensors.
"""

from __future__ import annotations

import inspect
import math
import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from eagleeye.channels import layers as channel_layers
from eagleeye.errors import ArtifactError

_ATTRIBUTES = frozenset({"shape", "ndim", "dtype", "device"})
_ARITHMETIC = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "neg", "pow", "matmul", "getitem", "eq", "ne", "lt", "le", "gt",
    "ge", "invert", "iadd", "isub", "imul", "itruediv", "and_", "or_",
)  # fmt: skip
_CHANNEL_LAYERS = {
    cls.__name__: cls
    for cls in (
        channel_layers.ChannelPad, channel_layers.ChannelSelect, channel_layers.ChannelSlice, channel_layers.Reshape
    )
}  # fmt: skip
_MISSING = object()


def _functions() -> dict[str, Any]:
    """Every function a graph may call, by a stable name."""
    overridable = torch.overrides.get_overridable_functions()
    found: dict[str, Any] = {f"operator.{name}": getattr(operator, name) for name in _ARITHMETIC}
    found |= {f"math.{name}": getattr(math, name) for name in ("ceil", "floor", "sqrt")}
    found |= {f"torch.{name}": getattr(torch, name) for name in ("arange", "full", "ones", "zeros")}
    for prefix, namespace in (("torch", torch), ("torch.nn.functional", F)):
        allowed = set(overridable[namespace])
        for name in dir(namespace):
            function = getattr(namespace, name)
            if callable(function) and not name.startswith("_") and function in allowed:
                found[f"{prefix}.{name}"] = function
    return found


def describe(network: fx.GraphModule) -> dict[str, Any]:
    """Describe a traced or pruned network as JSON-ready data.

    Args:
        network: From `prune` or `load`.

    Returns:
        Nodes in order, layers with their settings, and directly used tensors.

    Raises:
        ArtifactError: It calls something that cannot be described.
    """
    names = {function: name for name, function in reversed(_functions().items())}
    nodes, layers, tensors = [], {}, {}
    for node in network.graph.nodes:
        target = str(node.target)
        if node.op == "call_function":
            target = "getattr" if node.target is getattr else names.get(node.target, "")
            if not target:
                raise ArtifactError(f"operation '{node.target}': it cannot be stored; use functions of torch instead")
        elif node.op == "call_module":
            layers[target] = _describe_layer(target, network.get_submodule(target))
        elif node.op == "get_attr":
            value = operator.attrgetter(target)(network)
            kind = "parameter" if isinstance(value, nn.Parameter) else "buffer"
            tensors[target] = [kind, list(value.shape)]
        nodes.append([node.op, node.name, target, _encode(node.args), _encode(node.kwargs)])
    return {"nodes": nodes, "layers": layers, "tensors": tensors}


def rebuild(description: dict[str, Any], name: str) -> fx.GraphModule:
    """Build the network a description stands for; its weights are still to be loaded (`meta` device).

    Args:
        description: From `describe`.
        name: Class name of the network.

    Returns:
        The network in evaluation mode.

    Raises:
        ArtifactError: The description names something that is no tensor operation, or does not fit together.
    """
    parts: dict[str, Any] = {key: _build_layer(key, *entry) for key, entry in description["layers"].items()}
    for key, (kind, shape) in description["tensors"].items():
        empty = torch.empty(shape, device="meta")
        parts[key] = nn.Parameter(empty) if kind == "parameter" else empty
    graph = fx.Graph()
    nodes: dict[str, fx.Node] = {}
    functions = _functions()
    for op, node_name, target, args, kwargs in description["nodes"]:
        _check_identifiers(node_name, *str(target).split("."))
        called = _callable(op, target, args, functions, parts)
        nodes[node_name] = graph.create_node(op, called, _decode(args, nodes), _decode(kwargs, nodes), node_name)
    graph.lint()
    return fx.GraphModule(parts, graph, class_name=name if name.isidentifier() else "Network").eval()


def _callable(op: str, target: str, args: Any, functions: dict[str, Any], parts: dict[str, Any]) -> Any:
    """The target of a node, if it is one that may be called."""
    if op in ("placeholder", "output"):
        return target
    if op in ("call_module", "get_attr") and target in parts:
        return target
    if op == "call_method" and callable(getattr(Tensor, target, None)) and not target.startswith("_"):
        return target
    if op == "call_function" and target == "getattr" and args["tuple"][1] in _ATTRIBUTES:
        return getattr
    if op == "call_function" and target in functions:
        return functions[target]
    raise ArtifactError(
        f"architecture: {op} '{target}' is no tensor operation; the file is damaged or not to be trusted"
    )


def _check_identifiers(*names: str) -> None:
    for name in names:
        # Names end up in generated code.
        if not name.isidentifier() and not name.isdecimal():
            raise ArtifactError(f"architecture: '{name[:40]}' is no name; the file is damaged or not to be trusted")


def _describe_layer(name: str, layer: nn.Module) -> list[Any]:
    kind = type(layer).__name__
    if _layer_class(kind) is not type(layer):
        raise ArtifactError(f"layer '{name}': a {kind} cannot be stored; use layers of torch.nn instead")
    settings: dict[str, Any] = {}
    for parameter in list(inspect.signature(type(layer).__init__).parameters.values())[1:]:
        value = getattr(layer, parameter.name, _MISSING)
        if parameter.name == "bias" and not isinstance(value, bool):
            settings["bias"] = value is not None
        elif parameter.name == "index":
            settings["index"] = layer.get_buffer("index").tolist()
        elif value is not _MISSING and parameter.name not in ("device", "dtype"):
            settings[parameter.name] = _encode(value)
    return [kind, settings]


def _build_layer(name: str, kind: str, settings: dict[str, Any]) -> nn.Module:
    cls = _layer_class(kind)
    if cls is None:
        raise ArtifactError(
            f"layer '{name}': '{kind}' is no layer of torch.nn; the file is damaged or not to be trusted"
        )
    decoded = {key: _decode(value, {}) for key, value in settings.items()}
    with torch.device("cpu" if kind in _CHANNEL_LAYERS else "meta"):
        layer: nn.Module = cls(**decoded)
    return layer


def _layer_class(kind: str) -> type[nn.Module] | None:
    if kind in _CHANNEL_LAYERS:
        return _CHANNEL_LAYERS[kind]
    if kind == "StochasticDepth":
        from torchvision.ops import StochasticDepth

        layer: type[nn.Module] = StochasticDepth
        return layer
    cls = getattr(nn, kind, None)
    return cls if isinstance(cls, type) and issubclass(cls, nn.Module) else None


def _encode(value: Any) -> Any:
    """Arguments as JSON; what JSON lacks becomes an object with one key that names its kind."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, tuple):
        return {"tuple": [_encode(item) for item in value]}
    if isinstance(value, list):
        return [_encode(item) for item in value]
    if isinstance(value, dict):
        return {"dict": {key: _encode(item) for key, item in value.items()}}
    if isinstance(value, slice):
        return {"slice": [_encode(item) for item in (value.start, value.stop, value.step)]}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if value is Ellipsis:
        return {"ellipsis": True}
    raise ArtifactError(f"argument {value!r}: a {type(value).__name__} cannot be stored")


def _decode(value: Any, nodes: dict[str, fx.Node]) -> Any:
    if isinstance(value, list):
        return [_decode(item, nodes) for item in value]
    if not isinstance(value, dict):
        return value
    (kind, content), *rest = value.items()
    if rest:
        raise ArtifactError(f"architecture: argument {value!r} has two kinds; the file is damaged")
    if kind == "dict":
        _check_identifiers(*content)
        return {key: _decode(item, nodes) for key, item in content.items()}
    if kind == "dtype":
        dtype = getattr(torch, content, None)
        if isinstance(dtype, torch.dtype):
            return dtype
    builders: dict[str, Any] = {
        "node": lambda: nodes[content],
        "tuple": lambda: tuple(_decode(item, nodes) for item in content),
        "slice": lambda: slice(*(_decode(item, nodes) for item in content)),
        "ellipsis": lambda: Ellipsis,
    }
    if kind not in builders:
        raise ArtifactError(f"architecture: argument of unknown kind '{kind}'; the file is damaged")
    return builders[kind]()
