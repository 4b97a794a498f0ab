"""Arguments of any structure, as a forward pass gets them while it is recorded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, fx

from eagleeye.errors import TraceError
from eagleeye.forward.structures import parts, rebuilt


def unfolded(value: Any, name: str, proxy: Callable[[], fx.Proxy]) -> Any:
    """An argument as the forward pass gets it while it is recorded: the structure itself, its leaves recorded.

    Args:
        value: The argument in the example.
        name: What it is called in messages.
        proxy: Gives what stands for it.

    Returns:
        The same structure with a proxy for every tensor and number in it.

    Raises:
        TraceError: It holds something whose value would be taken for good.
    """
    if value is None:
        return None
    if isinstance(value, (Tensor, int, float)) and not isinstance(value, bool):
        return proxy()
    found = parts(value)
    if found is None:
        raise TraceError(
            f"example_input: {name} is {str(value)[:40]!r}, a {type(value).__name__}, whose value would be recorded for"
            " good; give tensors and numbers, and leave it to its default, or set it in a module of your own around the"
            " network"
        )
    whole = proxy()
    items = [unfolded(item, f"{name}[{key!r}]", partial(_part, whole, reach, key)) for reach, key, item in found]
    return rebuilt(value, items)


def _part(whole: fx.Proxy, reach: Callable[[Any, Any], Any], key: Any) -> fx.Proxy:
    part: fx.Proxy = whole.tracer.create_proxy("call_function", reach, (whole, key), {})
    return part
