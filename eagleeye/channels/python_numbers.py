"""Python's own functions on sizes, recorded: `int(b)`, `float(h)`, `max(h, w)` would ask for a number once for all."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from eagleeye.channels.proxies import ValueProxy, number_of


class _Converting(type):
    """A number's class as code that is recorded sees it: sizes are instances of it, and stay what they are."""

    plain: type
    record: Callable[[Any], Any]

    def __call__(cls, *args: Any, **named: Any) -> Any:
        if len(args) != 1 or number_of(args[0]) is None:
            return cls.plain(*args, **named)
        return args[0] if type(number_of(args[0])) is cls.plain else cls.record(args[0])

    def __instancecheck__(cls, instance: Any) -> bool:
        value = number_of(instance)
        return isinstance(instance if value is None else value, cls.plain)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.plain)

    def __eq__(cls, other: object) -> bool:
        return other is cls.plain or other is cls

    def __hash__(cls) -> int:
        return hash(cls.plain)


class _Int(metaclass=_Converting):
    plain = int
    record = torch.sym_int


class _Float(metaclass=_Converting):
    plain = float
    record = torch.sym_float


def _extreme(plain: Callable[..., Any], record: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    @functools.wraps(plain)
    def choose(*args: Any, **named: Any) -> Any:
        values = args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args
        numbers = [value if number_of(value) is None else number_of(value) for value in values]
        if named or len(numbers) < 2 or not all(isinstance(number, (int, float)) for number in numbers):
            return plain(*args, **named)
        return functools.reduce(record, values) if any(map(_is_recorded, values)) else plain(*args)

    return choose


def _is_recorded(value: Any) -> bool:
    return isinstance(value, ValueProxy)


_FUNCTIONS: dict[str, Any] = {
    "int": _Int, "float": _Float, "max": _extreme(max, torch.sym_max), "min": _extreme(min, torch.sym_min)
}  # fmt: skip


@contextmanager
def recorded_numbers() -> Iterator[Callable[[Callable[..., Any]], None]]:
    """Let code take these functions instead of Python's, as long as this lasts.

    Yields:
        To be called with every function whose module is to take them.
    """
    changed: list[tuple[dict[str, Any], str]] = []

    def take(function: Callable[..., Any]) -> None:
        names: dict[str, Any] = getattr(function, "__globals__", {})
        if names.get("__name__", "torch").split(".")[0] != "torch":
            for name in _FUNCTIONS.keys() - names.keys():
                names[name] = _FUNCTIONS[name]
                changed.append((names, name))

    try:
        yield take
    finally:
        for names, name in changed:
            del names[name]
