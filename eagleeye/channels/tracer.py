"""Record a network's forward pass as a graph, with the value every node had on an example input.

`torch.fx` records symbolically and stops at control flow on shapes. Here every recorded operation is also run
on the example, so that shapes are concrete: branches on them are followed, and each node knows its value.
"""

from __future__ import annotations

import operator
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from eagleeye.channels.aliases import WRITTEN, memory_of, tensors_in, version_of
from eagleeye.channels.arguments import unfolded
from eagleeye.channels.creation import TAKING_SIZES, RecordedCreation, is_random, settle
from eagleeye.channels.deviation import LINE
from eagleeye.channels.places import line_of, user_line
from eagleeye.channels.proxies import FREE, VALUE, ValueProxy
from eagleeye.channels.python_numbers import recorded_numbers
from eagleeye.channels.untouched import untouched
from eagleeye.errors import TraceError
from eagleeye.forward.inputs import Call, names_of
from eagleeye.forward.modes import evaluating
from eagleeye.forward.structures import is_dataclass, is_namedtuple, parts
from eagleeye.stored.records import dict_class

__all__ = ["VALUE", "record"]


class _ExampleTracer(fx.Tracer):
    """A `torch.fx` tracer that runs each operation on the example while recording it."""

    def __init__(self, inputs: Call) -> None:
        # Torch lists its functions once, at the first question: those that are exchanged now must not be among them.
        torch.overrides.get_overridable_functions()
        super().__init__(autowrap_functions=TAKING_SIZES)
        self._autowrap_search.append(torch)
        self._given = inputs
        self._inputs = iter(inputs.values)
        self.running_example = False
        self._names: dict[int, str] = {}
        self.failed_in = ""
        self.take_numbers: Callable[[Callable[..., Any]], None] = lambda _function: None

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        """An argument for every input that is given; all others keep their defaults, as in a call of the network."""
        root: Any = self.root
        values = []
        for name, value in zip(names_of(root, self._given), self._given.values, strict=True):
            proxy = self.create_proxy("placeholder", name, (), {})
            values.append(unfolded(value, f"'{name}'", partial(_itself, proxy)))
        count = len(self._given.args)
        kwargs = dict(zip(self._given.kwargs, values[count:], strict=True))
        # The call and not `forward` alone: hooks of the network itself belong to what it computes.
        return partial(_entry(root), root, *values[:count], **kwargs), []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # Known by where it comes from: importing torchvision takes longer than most traces.
        dropping = type(m).__module__ == "torchvision.ops.stochastic_depth"
        return dropping or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return ValueProxy(node, self)

    def create_node(self, kind: str, target: Any, *rest: Any, **named: Any) -> fx.Node:
        node = super().create_node(kind, target, *rest, **named)
        node.meta[LINE] = line_of(sys._getframe())
        node.meta[FREE] = _is_free(node)
        try:
            node.meta[VALUE] = self._value(node)
        except Exception:
            # Whoever handles it in the forward pass goes on without.
            self.graph.erase_node(node)
            raise
        return node

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **named: Any) -> fx.Proxy:
        if kind == "call_method" and target.startswith("__"):
            kind = "call_function"
            target, args = _as_operator(target, args)
        return super().create_proxy(kind, target, args, kwargs, *rest, **named)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if self.running_example:
            return forward(*args, **kwargs)
        self.take_numbers(type(m).forward)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            # The innermost layer is the first to see it.
            self.failed_in = self.failed_in or self.path_of_module(m)
            raise

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if self.running_example:
            return attr_val
        if not self._names:
            tensors = [*self.root.named_parameters(), *self.root.named_buffers()]
            self._names = {id(tensor): name for name, tensor in tensors}
        name = self._names.get(id(attr_val)) if isinstance(attr_val, Tensor) else None
        if name is None:
            return attr_val
        if name not in parameter_proxy_cache:
            parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {})
        return parameter_proxy_cache[name]

    def create_arg(self, a: Any) -> Any:
        """Arguments and outputs of any structure: what the graph cannot hold as it is becomes a call of its class."""
        if is_namedtuple(a):
            return self.create_node("call_function", type(a), tuple(self.create_arg(item) for item in a), {})
        if is_dataclass(a):
            fields = {key: self.create_arg(item) for _, key, item in parts(a) or ()}
            return self.create_node("call_function", type(a), (), fields)
        if isinstance(a, dict) and type(a) is not dict:
            return self.create_node("call_function", dict_class(a), (self.create_arg(dict(a)),), {})
        return super().create_arg(a)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        proxy: Any = obj
        return iter([proxy[i] for i in range(len(obj.node.meta[VALUE]))])

    def _value(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return next(self._inputs)
        if node.op == "output":
            return None
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: n.meta[VALUE])
        given = tensors_in((args, kwargs))
        before = [(version_of(tensor), tensor.shape) for tensor in given]
        running = self.running_example
        self.running_example = True
        try:
            value = self._run(node, args, kwargs)
        finally:
            self.running_example = running
        if any(tensor.shape != shape for tensor, (_, shape) in zip(given, before, strict=True)):
            raise TraceError(
                f"operation '{node.target}'{node.meta[LINE]}: it changes the shape of a tensor in place, which cannot"
                " be followed; use the operation that gives a new view"
            )
        written = [t for t, (version, _) in zip(given, before, strict=True) if version_of(t) != version]
        node.meta[WRITTEN] = frozenset(memory_of(tensor) for tensor in written)
        return value

    def _run(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        target: Any = node.target
        if node.op == "get_attr":
            return operator.attrgetter(target)(self.root)
        if node.op == "call_module":
            return self.root.get_submodule(target)(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], target)(*args[1:], **kwargs)
        return target(*args, **kwargs)


def _itself(proxy: fx.Proxy) -> fx.Proxy:
    return proxy


def _entry(root: nn.Module) -> Any:
    """What a call of the network runs; while recording, the usual way there is taken by layers."""
    own = type(root).__call__
    return nn.Module._call_impl if own is nn.Module.__call__ or isinstance(root, fx.GraphModule) else own


def record(model: nn.Module, inputs: Call, after: Call | None = None) -> fx.Graph:
    """Record the forward pass of `model` in evaluation mode; every node's `meta[VALUE]` is its value.

    Args:
        model: Any network whose control flow does not depend on the values in its tensors. Left as it was.
        inputs: The example, batch first.
        after: A call that the network is to have had last.

    Returns:
        The graph, its modules and parameters named by their paths in `model`.

    Raises:
        TraceError: The network cannot run on the example, or its control flow depends on data.
    """
    # Copies: the forward pass may write to its inputs.
    tracer = _ExampleTracer(inputs.mapped(Tensor.clone))
    with untouched(model), evaluating(model), torch.no_grad():
        try:
            if after is not None:
                after.on(model)
            with RecordedCreation(tracer), recorded_numbers() as tracer.take_numbers:
                tracer.take_numbers(type(model).forward)
                graph = tracer.trace(model)
            settle(tracer, graph)
            return graph
        except TraceError:
            raise
        except Exception as error:  # whatever a user's forward pass raises is the user's to read, with its place
            failure = error
    raise TraceError(_failure(model, inputs, tracer.failed_in, failure)) from failure


def _failure(model: nn.Module, inputs: Call, layer: str, error: Exception) -> str:
    """What went wrong, and whether it is the network itself or its recording."""
    reason = next(iter(str(error).strip().splitlines()), "")
    if not reason or isinstance(error, LookupError):  # a missing key says nothing by itself
        reason = f"{type(error).__name__} {reason}".strip()
    lines = [(at.f_code.co_filename, line) for at, line in traceback.walk_tb(error.__traceback__)]
    place = (f"layer '{layer}'" if layer else "forward()") + user_line(reversed(lines))
    try:
        with untouched(model), evaluating(model), torch.no_grad():
            inputs.mapped(Tensor.clone).on(model)
    except Exception:  # its own failure, whatever it is
        shapes = [tuple(tensor.shape) for tensor in inputs.tensors]
        return (
            f"network {type(model).__name__}: it stops in {place}: {reason}; the network itself does not run on the"
            f" example of shape {shapes}: give one that it takes"
        )
    return (
        f"network {type(model).__name__}: recording stopped in {place}: {reason}; the network itself runs, but this"
        " line cannot be recorded: use operations of torch on tensors there, or move it out of forward()"
    )


def _is_free(node: fx.Node) -> bool:
    if node.op == "get_attr":
        return str(node.target).startswith("_tensor_constant")
    called = node.op in ("call_function", "call_method") and not is_random(node.target)
    return called and all(source.meta[FREE] for source in node.all_input_nodes)


def _as_operator(method: str, args: Any) -> tuple[Any, Any]:
    """The operator that a special method stands for, with its arguments in order."""
    if method.startswith("__r") and not hasattr(operator, method):
        return getattr(operator, f"__{method[3:]}"), (args[1], args[0], *args[2:])
    return getattr(operator, method), args
