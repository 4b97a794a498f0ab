"""The names of layers and tensors in a pruned network: those of the user's network, where code can reach them."""

from __future__ import annotations

import keyword
import unicodedata
from functools import cache

from torch import fx, nn


def attribute(path: str) -> str:
    """The name in a pruned network of what the user's network has under a name.

    It is the same, unless code cannot reach it there: keywords, and names that `torch.fx` needs itself (`graph`,
    `code`, `meta`), get a `_` behind them; with quotes, backslashes or characters that cannot be printed, everything
    but letters and digits becomes its number.

    Args:
        path: Names, separated by dots.

    Returns:
        The path in the pruned network; different paths stay different.
    """
    return ".".join(_renamed(part, taken) for part, taken in _parts(path))


def is_attribute(path: str) -> bool:
    """Whether code can reach what has this path in a pruned network.

    Args:
        path: Names, separated by dots; of any form.
    """
    return all(part and _is_plain(part) and not _is_taken(part, taken) for part, taken in _parts(path))


def _parts(path: str) -> list[tuple[str, frozenset[str]]]:
    """The names in a path, each with those that are taken where it is."""
    first, *others = path.split(".")
    return [(first, _of_graph_modules()), *((part, _of_modules()) for part in others)]


def _renamed(name: str, taken: frozenset[str]) -> str:
    if not _is_plain(name):
        name = "".join(char if char.isascii() and char.isalnum() else f"_x{ord(char):x}_" for char in name)
    # One more "_" for those that end so already, so that no two become one.
    bare = name.rstrip("_")
    return f"{name}_" if _is_taken(bare, taken) else name


def _is_taken(name: str, taken: frozenset[str]) -> bool:
    return keyword.iskeyword(name) or name in taken


def _is_plain(name: str) -> bool:
    # Python reads identifiers in their normal form.
    normal = not name.isidentifier() or unicodedata.is_normalized("NFKC", name)
    return normal and name.isprintable() and not set(name) & set('"\\')


@cache
def _of_modules() -> frozenset[str]:
    return frozenset(dir(nn.Module()))


@cache
def _of_graph_modules() -> frozenset[str]:
    graph = fx.Graph()
    graph.output(None)
    return frozenset(dir(fx.GraphModule(nn.Module(), graph)))
