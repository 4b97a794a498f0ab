"""Tensors in structures: dicts, lists, tuples, named tuples, dataclasses, and these in each other."""

from __future__ import annotations

import copy
import dataclasses
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Reach = Callable[[Any, Any], Any]
"""How a part of a structure is reached: `operator.getitem` or `getattr`."""


def parts(value: Any) -> list[tuple[Reach, Any, Any]] | None:
    """The parts of a structure.

    Args:
        value: Anything.

    Returns:
        Each part with how it is reached and under which key; None where `value` is no structure.
    """
    if is_dataclass(value):
        return [(getattr, name, getattr(value, name)) for name in _fields(value)]
    if isinstance(value, Mapping):
        return [(operator.getitem, key, item) for key, item in value.items()]
    if isinstance(value, (tuple, list)):
        return [(operator.getitem, place, item) for place, item in enumerate(value)]
    return None


def rebuilt(value: Any, items: list[Any]) -> Any:
    """A structure like another one.

    Args:
        value: The structure.
        items: What takes the place of its parts, in the order of `parts`.

    Returns:
        A structure of the same type.
    """
    if is_dataclass(value):
        return dataclasses.replace(value, **dict(zip(_fields(value), items, strict=True)))
    if isinstance(value, Mapping):
        filled: Any = copy.copy(value)
        for key, item in zip(value, items, strict=True):
            filled[key] = item
        return filled
    return value._make(items) if is_namedtuple(value) else type(value)(items)


def mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same structure with every tensor changed; what is no tensor stays.

    Args:
        value: A tensor or structure.
        change: Called with each tensor.
    """
    if isinstance(value, Tensor):
        return change(value)
    found = parts(value)
    return value if found is None else rebuilt(value, [mapped(item, change) for _, _, item in found])


def tensors(value: Any) -> list[Tensor]:
    """All tensors in a structure, in order."""
    if isinstance(value, Tensor):
        return [value]
    return [tensor for _, _, item in parts(value) or () for tensor in tensors(item)]


def joined(values: Sequence[Any], *, listed: bool = False) -> Any:
    """Structures of the same kind as one, every tensor longer.

    Args:
        values: The structures; their tensors are batch first.
        listed: Whether they are lists with an entry for each image instead.
    """
    if listed:
        return [entry for value in values for entry in value]
    pending = iter(torch.cat(parts) for parts in zip(*(tensors(value) for value in values), strict=True))
    return mapped(values[0], lambda _tensor: next(pending))


def between(value: Any, start: int, stop: int, *, listed: bool = False) -> Any:
    """Some images' part of a structure.

    Args:
        value: The structure; its tensors are batch first.
        start: The first image.
        stop: The image after the last.
        listed: Whether it is a list with an entry for each image instead.
    """
    return value[start:stop] if listed else mapped(value, lambda tensor: tensor[start:stop])


def places(value: Any, name: str = "") -> list[str]:
    """A name for every tensor in a structure, made of the keys that lead there.

    Args:
        value: A tensor or structure.
        name: What the names begin with.
    """
    if isinstance(value, Tensor):
        return [name]
    start = f"{name}_" if name else ""
    return [place for _, key, item in parts(value) or () for place in places(item, f"{start}{key}")]


def is_dataclass(value: Any) -> bool:
    """Whether a value is an instance of a dataclass."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def is_namedtuple(value: Any) -> bool:
    """Whether a value is an instance of a named tuple."""
    return isinstance(value, tuple) and hasattr(value, "_fields") and hasattr(value, "_make")


def _fields(value: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(value) if field.init]
