"""Leave a network exactly as it was: whatever a forward pass keeps in it is taken back."""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

_PLAIN = (str, bytes, int, float, complex, type(None), type, FunctionType, MethodType, BuiltinFunctionType, ModuleType,
          torch.dtype, torch.device, torch.Size, np.ndarray)  # fmt: skip
"""What holds nothing that a forward pass could change."""


class _Kept(NamedTuple):
    tensor: Tensor
    memory: Tensor
    """The memory it had, whatever it is given later."""
    value: Tensor
    trains: bool
    grad: Tensor | None


class Snapshot:
    """The state of a network: attributes, modules, hooks and modes, whatever its attributes hold, all tensors.

    Args:
        model: Any network; nothing in it is copied but the values of tensors.
    """

    def __init__(self, model: nn.Module) -> None:
        self._seen: dict[int, Any] = {}
        self._containers: list[tuple[Any, list[Any]]] = []
        self._tensors: list[_Kept] = []
        self._pending: list[Any] = [model]
        while self._pending:
            self._take(self._pending.pop())

    def restore(self) -> bool:
        """Bring everything back to what it was; what did not change is not touched.

        Returns:
            Whether anything had changed.
        """
        changed = False
        for container, items in self._containers:
            found = _items(container)
            if len(found) != len(items) or any(a is not b for a, b in zip(found, items, strict=True)):
                changed = True
                container.clear()
                if isinstance(container, dict):
                    container.update(zip(items[::2], items[1::2], strict=True))
                else:
                    (container.update if isinstance(container, set) else container.extend)(items)
        with torch.no_grad():
            for kept in self._tensors:
                changed |= _restore(kept)
        return changed

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors that it found."""
        return [kept.tensor for kept in self._tensors]

    def _take(self, value: Any) -> None:
        if isinstance(value, _PLAIN) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if isinstance(value, Tensor):
            self._take_tensor(value)
        elif isinstance(value, (dict, list, deque, set)):
            items = _items(value)
            self._containers.append((value, items))
            self._pending += items
        elif isinstance(value, (tuple, frozenset)):
            self._pending += value
        elif hasattr(value, "__dict__"):
            self._pending.append(vars(value))
            if isinstance(value, nn.Module):
                self._pending += _shared_by_class(type(value))

    def _take_tensor(self, tensor: Tensor) -> None:
        if is_lazy(tensor):
            return
        grad = tensor.grad if tensor.is_leaf else None
        self._tensors.append(_Kept(tensor, tensor.data, tensor.detach().clone(), tensor.requires_grad, grad))


def _items(container: Any) -> list[Any]:
    if isinstance(container, dict):
        return [part for item in container.items() for part in item]
    return list(container)


def _shared_by_class(kind: type) -> list[Any]:
    """Lists and dicts that a user's class keeps for all its instances."""
    own = [owner for owner in kind.__mro__ if not owner.__module__.startswith(("torch.", "builtins"))]
    return [value for owner in own for value in vars(owner).values() if isinstance(value, (dict, list, deque, set))]


def _restore(kept: _Kept) -> bool:
    tensor = kept.tensor
    memory = kept.memory
    moved = tensor.data_ptr() != memory.data_ptr() or tensor.shape != memory.shape or tensor.dtype != memory.dtype
    if moved:
        tensor.data = memory
    written = not torch.equal(memory, kept.value)
    if written:
        memory.copy_(kept.value)
    if tensor.is_leaf:
        if tensor.requires_grad != kept.trains:
            tensor.requires_grad_(kept.trains)
        if tensor.grad is not kept.grad:
            tensor.grad = kept.grad
    return moved or written


def copied(model: nn.Module, instead: Mapping[nn.Module, nn.Module] | None = None) -> nn.Module:
    """A deep copy of a network, also where it keeps results of its forward pass, which cannot be copied with history.

    Args:
        model: Any network.
        instead: Modules that take the place of others in the copy, as they are.

    Returns:
        The copy; kept results are tensors without history there.
    """
    known: dict[int, Any] = {id(t): t.detach().clone() for t in Snapshot(model).tensors if not t.is_leaf}
    return copy.deepcopy(model, known | {id(old): new for old, new in (instead or {}).items()})


@contextmanager
def untouched(model: nn.Module) -> Iterator[Snapshot]:
    """Whatever happens to a network inside is undone at the end; generators of random numbers, too.

    Args:
        model: Any network.

    Yields:
        Its state, to be restored on the way as often as needed.
    """
    snapshot = Snapshot(model)
    states = random.getstate(), np.random.get_state()
    devices = {tensor.device.index for tensor in model.parameters() if tensor.is_cuda}
    try:
        with torch.random.fork_rng(devices=[index for index in devices if index is not None]):
            yield snapshot
    finally:
        snapshot.restore()
        random.setstate(states[0])
        np.random.set_state(states[1])
