"""Tensors in structures: against the standard library's own ways of taking them apart."""

from __future__ import annotations

from collections import OrderedDict, UserDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils import _pytree as pytree

from eagleeye.forward.structures import mapped, parts, rebuilt, tensors

Named = namedtuple("Named", "first second")


@dataclass(frozen=True)
class Record:
    first: Any
    second: Any = None
    count: int = field(default=7, init=False)


class Attributes(dict):
    """As configuration libraries have them: keys are attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


LEAVES = st.one_of(st.builds(torch.tensor, st.integers(0, 9)), st.none(), st.integers(), st.text(max_size=2))
STRUCTURES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
        st.dictionaries(st.integers(), inner, max_size=3).map(OrderedDict),
        st.builds(Named, inner, inner),
    ),
    max_leaves=8,
)


@given(STRUCTURES)
def test_as_torch_takes_them_apart(value: Any) -> None:
    expected = [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
    found = tensors(value)
    assert len(found) == len(expected)
    assert all(one is other for one, other in zip(found, expected, strict=True))
    changed = mapped(value, lambda tensor: tensor + 1)
    wanted = pytree.tree_map(lambda leaf: leaf + 1 if isinstance(leaf, Tensor) else leaf, value)
    assert changed == wanted
    assert type(changed) is type(value)


@pytest.mark.parametrize(
    "value",
    [Record(torch.ones(1), {"a": torch.zeros(1)}), Attributes(a=torch.ones(1)), UserDict(a=torch.ones(1)),
     defaultdict(list, a=torch.ones(1)), torch.max(torch.ones(2, 2), 0), torch.Size([1, 2])],
)  # fmt: skip
def test_every_kind_keeps_its_type(value: Any) -> None:
    again = mapped(value, lambda tensor: tensor * 2)
    assert type(again) is type(value)
    assert [float(each.sum()) for each in tensors(again)] == [float(each.sum()) * 2 for each in tensors(value)]
    reached = parts(value)
    assert reached is not None
    assert all(reach(value, key) is item for reach, key, item in reached)
    assert type(rebuilt(value, [item for _, _, item in reached])) is type(value)


@pytest.mark.parametrize("value", [None, 3, "text", torch.ones(1), Record, Named])
def test_what_is_no_structure_has_no_parts(value: Any) -> None:
    assert parts(value) is None
    assert tensors(value) == ([value] if isinstance(value, Tensor) else [])
