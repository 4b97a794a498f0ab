"""Arguments and settings as JSON, and back; what JSON lacks becomes an object with one key that names its kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import torch
from torch import fx

from eagleeye.errors import ArtifactError
from eagleeye.forward.structures import is_namedtuple
from eagleeye.stored.records import is_record, named, plain

DEEPEST = 20
"""How deep values may be nested in each other."""

_DEVICE = re.compile(r"(cpu|cuda|mps|xpu|meta)(:\d{1,3})?")
_DTYPES = {str(value).removeprefix("torch."): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
_FORMATS = {
    str(value).removeprefix("torch."): value for value in vars(torch).values() if isinstance(value, torch.memory_format)
}


def encode(value: Any) -> Any:
    """A value as JSON-ready data.

    Args:
        value: Numbers, strings, containers, types of torch, and nodes of a graph.

    Returns:
        What `decode` takes.

    Raises:
        ArtifactError: It holds something else.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Real):
        return int(value) if isinstance(value, Integral) else float(value)
    if isinstance(value, list):
        return [encode(item) for item in value]
    return _encode_kind(value)


def _encode_kind(value: Any) -> dict[str, Any]:
    if isinstance(value, fx.Node):
        return encode(plain(value)) if is_record(value.target) else {"node": value.name}
    if is_namedtuple(value):
        name = type(value).__name__
        fields = getattr(value, "_fields", ())
        named(name, fields)
        return {"record": [name, list(fields), [encode(item) for item in value]]}
    if isinstance(value, tuple):
        return {"tuple": [encode(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, slice):
        return {"slice": [encode(item) for item in (value.start, value.stop, value.step)]}
    if isinstance(value, (torch.dtype, torch.memory_format)):
        kind = "dtype" if isinstance(value, torch.dtype) else "memory_format"
        return {kind: str(value).removeprefix("torch.")}
    if isinstance(value, torch.device) and _DEVICE.fullmatch(str(value)):
        return {"device": str(value)}
    if value is Ellipsis:
        return {"ellipsis": True}
    raise ArtifactError(f"its argument {_short(value)} is a {type(value).__name__}, which cannot be stored")


def decode(value: Any, nodes: Mapping[str, fx.Node], depth: int = DEEPEST) -> Any:
    """The value that stored data stands for.

    Args:
        value: Of any form: it may come from a stranger.
        nodes: The nodes that it may refer to.
        depth: How deep it may be nested.

    Returns:
        What `encode` was given.

    Raises:
        ArtifactError: It is nothing that `encode` returns.
    """
    if depth == 0:
        raise ArtifactError(f"values are nested more than {DEEPEST} deep")
    if isinstance(value, list):
        return [decode(item, nodes, depth - 1) for item in value]
    if isinstance(value, dict):
        return _decode_kind(value, nodes, depth - 1)
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ArtifactError(f"the number {_short(value)} has more than 64 bits")
    if isinstance(value, str):
        _refuse_other_devices(value)
    return value


def _decode_kind(value: dict[str, Any], nodes: Mapping[str, fx.Node], depth: int) -> Any:
    kind, content = next(iter(value.items())) if len(value) == 1 else ("", None)
    if kind in ("tuple", "slice", "dict", "record") and isinstance(content, list):
        return _decode_container(kind, [decode(item, nodes, depth) for item in content])
    if kind == "ellipsis":
        return Ellipsis
    if isinstance(content, str):
        if kind == "node" and content in nodes:
            return nodes[content]
        if kind == "dtype" and content in _DTYPES:
            return _DTYPES[content]
        if kind == "memory_format" and content in _FORMATS:
            return _FORMATS[content]
        if kind == "device" and _DEVICE.fullmatch(content):
            return torch.device(content)
    raise ArtifactError(f"{_short(value)} is no value")


def _decode_container(kind: str, items: list[Any]) -> Any:
    if kind == "tuple":
        return tuple(items)
    if kind == "record" and [type(item) for item in items[1:]] == [list, list] and len(items[1]) == len(items[2]):
        return named(items[0], items[1])(*items[2])
    if kind == "slice" and len(items) == 3:
        return slice(*items)
    if kind == "dict" and all(isinstance(item, list) and len(item) == 2 for item in items):
        pairs = [(key, item) for key, item in items if isinstance(key, (str, int))]
        if len(pairs) == len(items):
            return dict(pairs)
    raise ArtifactError(f"{_short(items)} is no {kind}")


def _refuse_other_devices(text: str) -> None:
    """The names of further kinds of devices make torch look for modules."""
    try:
        device = torch.device(text)
    except (RuntimeError, ValueError):
        return
    if not _DEVICE.fullmatch(str(device)):
        raise ArtifactError(f"'{device}' is no device for stored networks")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
