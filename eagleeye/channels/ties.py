"""Which channels must go together: a union-find over channel ids, and the ids that tensor axes own."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Ids = npt.NDArray[np.int64]

FIXED = 0
"""The id of everything that can never be removed: inputs, outputs, whatever an unknown operation touched."""


@dataclass(frozen=True)
class Axis:
    """One axis of a parameter or buffer, with the channel id of each of its positions."""

    tensor: str
    """Qualified name, e.g. `layer1.0.conv1.weight`."""
    axis: int
    ids: Ids
    role: str
    """`filter` (a convolution's outputs), `fixed filter` (of one whose weight is no parameter), `unit` (outputs of a
    linear layer), `bias` of either, `norm`, `in` (consumed), `gate` (a tensor used as it is)."""


@dataclass
class Ties:
    """Channel ids, which of them are tied, and the tensor axes they live on.

    Ids are numbered in the order in which the network makes them; id 0 is `FIXED`.
    """

    _parent: list[int] = field(default_factory=lambda: [FIXED])
    axes: dict[tuple[str, int], Axis] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    """Why a set of channels was fixed, by its root at that time: the first reason stays."""

    @property
    def count(self) -> int:
        """How many ids there are."""
        return len(self._parent)

    def new(self, count: int) -> Ids:
        """Make `count` fresh, untied ids."""
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def axis(self, tensor: str, axis: int, count: int, role: str) -> Ids:
        """The ids on a tensor's axis, made at the first request; a layer called twice gets the same ones."""
        key = (tensor, axis)
        if key not in self.axes:
            self.axes[key] = Axis(tensor, axis, self.new(count), role)
        return self.axes[key].ids

    def find(self, member: int) -> int:
        """The representative of an id's set: its smallest id, hence `FIXED` for everything fixed."""
        parent = self._parent
        while parent[member] != member:
            member = parent[member]
        return member

    def tie(self, left: Ids | Tensor, right: Ids | Tensor, reason: str = "") -> None:
        """Tie ids pairwise, both of the same shape; `reason` is kept for those that are thereby fixed."""
        left, right = (np.asarray(ids).reshape(-1) for ids in (left, right))
        for a, b in dict.fromkeys(zip(left.tolist(), right.tolist(), strict=True)):
            self._union(a, b, reason)

    def fix(self, ids: Ids | Tensor, reason: str) -> None:
        """Declare ids unremovable; `reason` is a sentence that names the operation."""
        for member in np.unique(_flat(ids)).tolist():
            root = self.find(member)
            if root != FIXED:
                self.reasons[root] = reason
                self._parent[root] = FIXED

    def reason(self, ids: Ids) -> str:
        """Why ids are fixed: the reason of the first set they belonged to that has one."""
        for start in ids.tolist():
            member = start
            while self._parent[member] != member:
                if member in self.reasons:
                    return self.reasons[member]
                member = self._parent[member]
        return "they are tied to the network's input"

    def roots(self, ids: Ids | Tensor) -> Ids:
        """The representative of each id: in the shape of an array, in the repeating core of a label tensor."""
        array = _core(ids).numpy() if isinstance(ids, Tensor) else ids
        unique, inverse = np.unique(array, return_inverse=True)
        found = np.array([self.find(int(member)) for member in unique], dtype=np.int64)
        return np.asarray(found[inverse]).reshape(array.shape)

    def _union(self, a: int, b: int, reason: str) -> None:
        root_a = self.find(a)
        root_b = self.find(b)
        if root_a != root_b:
            if reason and FIXED in (root_a, root_b):
                self.reasons[max(root_a, root_b)] = reason
            self._parent[max(root_a, root_b)] = min(root_a, root_b)


def _flat(ids: Ids | Tensor) -> Ids:
    return (_core(ids).numpy() if isinstance(ids, Tensor) else ids).reshape(-1)


def _core(labels: Tensor) -> Tensor:
    """The labels without the repetitions that `expand` made."""
    return labels[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in labels.stride())]


def varying_axes(labels: Tensor) -> tuple[int, ...]:
    """The axes along which labels change."""
    return tuple(
        axis
        for axis in range(labels.dim())
        if labels.shape[axis] > 1 and labels.stride(axis) != 0 and bool(torch.any(labels != labels.narrow(axis, 0, 1)))
    )


def along(labels: Tensor, axis: int) -> Ids:
    """The labels along one axis, at position 0 of the others."""
    index: list[int | slice] = [0] * labels.dim()
    index[axis] = slice(None)
    return np.asarray(labels[tuple(index)].numpy())


def spread(ids: Ids, axis: int, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """A label tensor of `shape` that carries `ids` along `axis`, without taking the memory for it."""
    view = [1] * len(shape)
    view[axis] = len(ids)
    return torch.from_numpy(np.ascontiguousarray(ids)).reshape(view).expand(tuple(shape))
