"""The values a forward pass works with while it is recorded."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any

from torch import Tensor, fx

from eagleeye.channels.places import line_of
from eagleeye.errors import TraceError

VALUE = "value"
"""Key in `Node.meta` of the value the node had on the example input; later writes in place show in it."""
FREE = "free"
"""Key in `Node.meta`: whether the value depends on nothing but the code: no input, no weight, nothing random."""

_IN_PLACE = {
    "iadd": operator.add, "isub": operator.sub, "imul": operator.mul, "itruediv": operator.truediv,
    "ifloordiv": operator.floordiv, "imod": operator.mod, "ipow": operator.pow, "iand": operator.and_,
    "ior": operator.or_, "ixor": operator.xor, "ilshift": operator.lshift, "irshift": operator.rshift,
}  # fmt: skip


class ValueProxy(fx.Proxy):
    """A proxy that answers `len`, `int` and `range` from its value on the example; tensors still refuse."""

    def __getattr__(self, name: str) -> Any:
        """Methods are recorded when they are called; any other attribute (`shape`) is read at once."""
        if callable(getattr(self.node.meta[VALUE], name, None)):
            return super().__getattr__(name)
        attribute = getattr(self.node.meta[VALUE], name)
        if isinstance(attribute, str):
            return attribute
        return self.tracer.create_proxy("call_function", getattr, (self, name), {})

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in ("tracer", "node"):
            raise TraceError(
                f"tensor '{self.node.name}'{line_of(sys._getframe())}: forward() assigns its attribute '{name}', which"
                " cannot be followed; use an operation that gives a new tensor, or move it out of forward()"
            )
        object.__setattr__(self, name, value)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Plain indices give a view that is written to, others pick by value."""
        if not isinstance(self.node.meta[VALUE], Tensor):
            raise TypeError(f"'{type(self.node.meta[VALUE]).__name__}' object does not support item assignment")
        parts = index if isinstance(index, tuple) else (index,)
        if all(
            part is None or part is ... or isinstance(part, (slice, int)) or number_of(part) is not None
            for part in parts
        ):
            view = self.tracer.create_proxy("call_function", operator.getitem, (self, index), {})
            number = isinstance(value, (int, float, complex)) or number_of(value) is not None
            getattr(view, "fill_" if number else "copy_")(value)
        else:
            self.tracer.create_proxy("call_function", operator.setitem, (self, index, value), {})

    def _number(self) -> Any:
        value = self.node.meta[VALUE]
        if isinstance(value, Tensor) and not self.node.meta.get(FREE):
            raise TraceError(_data_dependent(self.node))
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

    def __bool__(self) -> bool:
        return bool(self._number())


def _is_plain(index: Any) -> bool:
    number = number_of(index) if isinstance(index, ValueProxy) else index
    return index is None or index is ... or (isinstance(number, (slice, int)) and not isinstance(number, bool))


def number_of(value: Any) -> int | float | None:
    """The number that a proxy stands for, None for everything else."""
    number = value.node.meta[VALUE] if isinstance(value, ValueProxy) else None
    return number if isinstance(number, (int, float)) else None


def _written_in_place(name: str, otherwise: Callable[..., Any]) -> Callable[[ValueProxy, Any], Any]:
    """`x += y` on a tensor changes it under all its names; on a size it makes a new number."""

    def operate(self: ValueProxy, other: Any) -> Any:
        target = getattr(operator, name) if isinstance(self.node.meta[VALUE], Tensor) else otherwise
        return self.tracer.create_proxy("call_function", target, (self, other), {})

    return operate


for _name, _otherwise in _IN_PLACE.items():
    setattr(ValueProxy, f"__{_name}__", _written_in_place(_name, _otherwise))


def _data_dependent(node: fx.Node) -> str:
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target)
    return (
        f"operation '{name}' ({node.name}){line_of(sys._getframe())}: its result decides the control flow, which then"
        " depends on the data; only control flow on shapes can be traced: move the decision out of forward()"
    )
