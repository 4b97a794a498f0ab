"""How much a stored network may ask for by numbers that stand in its file."""

from __future__ import annotations

import math
from typing import Any

from torch import fx

from eagleeye.errors import ArtifactError

LARGEST = 2**28
"""Elements that one operation may make of sizes written in the file: a gigabyte in float32."""

NODES = 50_000
"""Steps of a forward pass; the longest known ones have some thousand."""

CHARACTERS = 2**24
"""Of the whole architecture as text."""

_ALL = slice(None)
_SIZES: dict[str, tuple[slice, tuple[str, ...]]] = {
    **dict.fromkeys(("zeros", "ones", "rand", "randn"), (_ALL, ("size",))),
    **dict.fromkeys(("new_zeros", "new_ones", "repeat", "tile"), (slice(1, None), ("size", "dims", "repeats"))),
    "full": (slice(1), ("size",)),
    "new_full": (slice(1, 2), ("size",)),
    "eye": (slice(2), ("n", "m")),
    "arange": (_ALL, ("start", "end")),
    "linspace": (slice(2, 3), ("steps",)),
    "logspace": (slice(2, 3), ("steps",)),
    "fftfreq": (slice(1), ("n",)),
    "rfftfreq": (slice(1), ("n",)),
    **dict.fromkeys(("tril_indices", "triu_indices"), (slice(2), ("row", "col"))),
    **dict.fromkeys(("expand", "broadcast_to"), (slice(1, None), ("size",))),
    **dict.fromkeys(("interpolate", "upsample", "upsample_bilinear"), (slice(1, 3), ("size", "scale_factor"))),
    "upsample_nearest": (slice(1, 3), ("size", "scale_factor")),
    **dict.fromkeys(("pad", "constant_pad_nd"), (slice(1, 2), ("pad",))),
    "repeat_interleave": (slice(1, 2), ("repeats",)),
    "one_hot": (slice(1, 2), ("num_classes",)),
    "fold": (slice(1, 2), ("output_size",)),
    "affine_grid": (slice(1, 2), ("size",)),
    **{
        f"adaptive_{kind}_pool{axes}d{more}": (slice(1, 2), ("output_size",))
        for kind in ("avg", "max") for axes in (1, 2, 3) for more in ("", "_with_indices")
    },
}  # fmt: skip
"""Where operations take sizes: positions and names of arguments."""

_SETTINGS = ("amounts", "sizes", "size", "scale_factor", "output_size", "padding", "unflattened_size", "num_layers")


def check_call(target: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse a call that makes a huge tensor of numbers in the file.

    Args:
        target: Name of a function or method.
        args: Its arguments.
        kwargs: Those given by name.

    Raises:
        ArtifactError: It asks for more than `LARGEST` elements.
    """
    name = target.rpartition(".")[2]
    places, names = _SIZES.get(name, (slice(0), ()))
    sizes = [*args[places], *(kwargs.get(key) for key in names)]
    if name == "arange":
        for end in sizes:
            _check(name, end)
    elif "scale_factor" in names or "output_size" in names:
        for size in sizes:
            _check(name, _both_axes(size))
    else:
        _check(name, sizes)


def check_settings(kind: str, settings: dict[str, Any]) -> None:
    """Refuse a layer that makes a huge tensor of numbers in the file.

    Args:
        kind: Its class's name.
        settings: Its settings.

    Raises:
        ArtifactError: It asks for more than `LARGEST` elements.
    """
    for key in _SETTINGS:
        _check(kind, _both_axes(settings.get(key)))


def _both_axes(size: Any) -> Any:
    """A size as one for each axis: a single number stands for both axes of a picture."""
    return size if isinstance(size, (tuple, list)) else [size, size]


def _check(name: str, sizes: Any) -> None:
    if math.prod(_numbers(sizes)) > LARGEST:
        raise ArtifactError(f"'{name}' would make more than {LARGEST:,} numbers")


def _numbers(value: Any) -> list[float]:
    """The absolute numbers above one in a value; none for what is known at run time alone."""
    if isinstance(value, (tuple, list)):
        return [number for item in value for number in _numbers(item)]
    if isinstance(value, (bool, fx.Node)) or not isinstance(value, (int, float)):
        return []
    return [float(abs(value))] if abs(value) > 1 else []
