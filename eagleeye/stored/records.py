"""Structures with named parts: named tuples, dataclasses, kinds of dicts; stored without the classes of the user's."""

from __future__ import annotations

import dataclasses
import keyword
from collections import defaultdict, namedtuple
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from torch import fx

from eagleeye.errors import ArtifactError


def is_record(target: Any) -> bool:
    """Whether a node's target puts a structure together: the class of a named tuple, a dataclass, or a kind of dict."""
    if not isinstance(target, type):
        return False
    return dataclasses.is_dataclass(target) or issubclass(target, dict) or _is_named(target)


def dict_class(value: dict[Any, Any]) -> Callable[[dict[Any, Any]], Any]:
    """What makes a mapping of the same kind from a dict: its class, or `dict` where that takes something else."""
    return dict if isinstance(value, defaultdict) else type(value)


def plain(node: fx.Node) -> Any:
    """What a node that puts a structure together gives, without a class of the user's.

    Args:
        node: One whose target `is_record`.

    Returns:
        A dict, or a named tuple, as which a dataclass has its fields.
    """
    target: Any = node.target
    if dataclasses.is_dataclass(target):
        return named(getattr(target, "__name__", ""), tuple(node.kwargs))(*node.kwargs.values())
    if _is_named(target):
        return target(*node.args)
    return node.args[0] if node.args else {}


def named(name: str, fields: Sequence[str]) -> Any:
    """The class of named tuples that a stored structure becomes.

    Args:
        name: Of the class.
        fields: Names of its parts.

    Returns:
        The class; the same for the same names.

    Raises:
        ArtifactError: They are no names.
    """
    for word in (name, *fields):
        if not isinstance(word, str) or not word.isidentifier() or keyword.iskeyword(word) or word.startswith("_"):
            raise ArtifactError(f"the name {str(word)[:40]!r} of a structure's part cannot be stored")
    if len(set(fields)) < len(fields):
        raise ArtifactError("two parts of a structure have the same name")
    return _class(name, tuple(fields))


def constructed(graph: fx.Graph, value: Any) -> Any:
    """Arguments as a graph can hold them: calls of their classes in the place of named tuples.

    Args:
        graph: Where the calls are added.
        value: The arguments.
    """
    if isinstance(value, (list, tuple)):
        items = [constructed(graph, item) for item in value]
        return graph.call_function(type(value), tuple(items)) if _is_named(type(value)) else type(value)(items)
    if isinstance(value, dict):
        return {key: constructed(graph, item) for key, item in value.items()}
    return value


def _is_named(target: type) -> bool:
    return issubclass(target, tuple) and hasattr(target, "_fields")


@cache
def _class(name: str, fields: tuple[str, ...]) -> Any:
    return namedtuple(name, fields)
