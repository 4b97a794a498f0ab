"""Record a network's forward pass as a graph, with the value every node had on an example input.

`torch.fx` records symbolically and stops at control flow on shapes. Here every recorded operation is also run
on the example, so that shapes are concrete: branches on them are followed, and each node knows its value.
"""

from __future__ import annotations

import inspect
import operator
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, fx, nn

from eagleeye.errors import TraceError
from eagleeye.modes import evaluating

VALUE = "value"
"""Key in `Node.meta` of the value the node had on the example input."""


class _ValueProxy(fx.Proxy):
    """A proxy that answers `len`, `int` and `range` from its value on the example; tensors still refuse."""

    def __getattr__(self, name: str) -> Any:
        """Methods are recorded when they are called; any other attribute (`shape`) is read at once."""
        if callable(getattr(self.node.meta[VALUE], name, None)):
            return super().__getattr__(name)
        attribute = getattr(self.node.meta[VALUE], name)
        if isinstance(attribute, str):
            return attribute
        return self.tracer.create_proxy("call_function", getattr, (self, name), {})

    def _number(self) -> Any:
        value = self.node.meta[VALUE]
        if isinstance(value, Tensor):
            raise TraceError(_data_dependent(self.node, sys._getframe()))
        return value

    def __len__(self) -> int:
        value = self.node.meta[VALUE]
        return len(value)

    def __index__(self) -> int:
        return operator.index(self._number())

    def __int__(self) -> int:
        return int(self._number())

    def __float__(self) -> float:
        return float(self._number())


class _ExampleTracer(fx.Tracer):
    """A `torch.fx` tracer that runs each operation on the example while recording it."""

    def __init__(self, inputs: tuple[Tensor, ...]) -> None:
        super().__init__()
        self._given = inputs
        self._inputs = iter(inputs)
        self._running_example = False
        self._names: dict[int, str] = {}
        self.failed_in = ""

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        """An argument for every input that is given; all others keep their defaults, as in a call of the network."""
        root: Any = self.root
        names = _input_names(root.forward, len(self._given))
        # The call and not `forward` alone: hooks of the network itself belong to what it computes.
        return partial(nn.Module._call_impl, root), [self.create_proxy("placeholder", name, (), {}) for name in names]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # Known by where it comes from: importing torchvision takes longer than most traces.
        dropping = type(m).__module__ == "torchvision.ops.stochastic_depth"
        return dropping or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _ValueProxy(node, self)

    def create_node(self, kind: str, target: Any, *rest: Any, **named: Any) -> fx.Node:
        node = super().create_node(kind, target, *rest, **named)
        if kind == "get_attr":
            node.meta[VALUE] = self._value(node)
        return node

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **named: Any) -> fx.Proxy:
        proxy = super().create_proxy(kind, target, args, kwargs, *rest, **named)
        proxy.node.meta[VALUE] = self._value(proxy.node)
        return proxy

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if self._running_example:
            return forward(*args, **kwargs)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            # The innermost layer is the first to see it.
            self.failed_in = self.failed_in or self.path_of_module(m)
            raise

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if self._running_example:
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

    def to_bool(self, obj: fx.Proxy) -> bool:
        value = obj.node.meta[VALUE]
        if isinstance(value, Tensor):
            raise TraceError(_data_dependent(obj.node, sys._getframe()))
        return bool(value)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        proxy: Any = obj
        return iter([proxy[i] for i in range(len(obj.node.meta[VALUE]))])

    def _value(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return next(self._inputs)
        if node.op == "output":
            return None
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: n.meta[VALUE])
        running, self._running_example = self._running_example, True
        try:
            return self._run(node, args, kwargs)
        finally:
            self._running_example = running

    def _run(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        target: Any = node.target
        if node.op == "get_attr":
            return operator.attrgetter(target)(self.root)
        if node.op == "call_module":
            return self.root.get_submodule(target)(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], target)(*args[1:], **kwargs)
        return target(*args, **kwargs)


def record(model: nn.Module, inputs: tuple[Tensor, ...]) -> fx.Graph:
    """Record the forward pass of `model` in evaluation mode; every node's `meta[VALUE]` is its value.

    Args:
        model: Any network whose control flow does not depend on the values in its tensors. Left as it was.
        inputs: Example inputs in the order of `forward`'s arguments, batch first.

    Returns:
        The graph, its modules and parameters named by their paths in `model`.

    Raises:
        TraceError: The network cannot run on the example, or its control flow depends on data.
    """
    tracer = _ExampleTracer(inputs)
    known = set(vars(model))
    try:
        with evaluating(model), torch.no_grad():
            return tracer.trace(model)
    except TraceError:
        raise
    except Exception as error:  # whatever a user's forward pass raises is the user's to read, with its place
        place = f"layer '{tracer.failed_in}'" if tracer.failed_in else "forward()"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        lines = [(at.f_code.co_filename, line) for at, line in traceback.walk_tb(error.__traceback__)]
        place += _user_line(reversed(lines))
        raise TraceError(
            f"network {type(model).__name__}: tracing stopped in {place}: {reason}; the forward pass must run"
            f" on an input of shape {[tuple(i.shape) for i in inputs]} without control flow on tensor values"
        ) from error
    finally:
        # torch.fx keeps tensors that the forward pass makes on the way as attributes of the model.
        for name in set(vars(model)) - known:
            delattr(model, name)


def _input_names(forward: Callable[..., Any], count: int) -> list[str]:
    """Names for so many positional inputs, those of the arguments that take them."""
    names: list[str] = []
    for name, parameter in inspect.signature(forward).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{name}_{place}" for place in range(count - len(names))]
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(name)
    return (names + [f"input_{place}" for place in range(len(names), count)])[:count]


def _data_dependent(node: fx.Node, frame: FrameType) -> str:
    lines = [(at.f_code.co_filename, line) for at, line in traceback.walk_stack(frame)]
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target)
    return (
        f"operation '{name}' ({node.name}){_user_line(lines)}: its result decides the control flow, which then depends"
        " on the data; only control flow on shapes can be traced: move the decision out of forward()"
    )


def _user_line(lines: Iterable[tuple[str, int]]) -> str:
    """The first of the lines that is neither torch's nor this library's."""
    ours = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]), str(Path(inspect.__file__).parent), "<")
    place = next(((file, line) for file, line in lines if not file.startswith(ours)), None)
    return f" at {place[0]}:{place[1]}" if place else ""
