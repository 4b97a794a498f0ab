"""Inputs and outputs of any structure: against the network itself, pruned, saved and loaded."""

from __future__ import annotations

from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import eagleeye
from eagleeye.errors import TraceError
from eagleeye.forward.inputs import call
from eagleeye.forward.structures import mapped, tensors
from tests.eagleeye.network_parts import Head, conv_bn
from tests.eagleeye.networks import lively

Out = namedtuple("Out", "logits features")
Maps = namedtuple("Maps", "fine coarse")


@dataclass
class Result:
    logits: Tensor
    loss: Tensor | None = None
    maps: tuple[Tensor, ...] = ()
    note: str = field(default="", init=False)


class ModelOutput(OrderedDict):
    """As libraries of pretrained networks have them: entries are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(name)


@dataclass
class Pyramid:
    fine: Tensor
    coarse: Tensor


class Merging(nn.Module):
    """A pyramid of features, read in one of many ways."""

    def __init__(self, read: Any) -> None:
        super().__init__()
        self.read, self.fine, self.coarse = read, conv_bn(3, 8), conv_bn(4, 8)
        self.after, self.head = conv_bn(8, 6), Head(6)

    def forward(self, features: Any) -> Tensor:
        fine, coarse = self.read(features)
        y = self.fine(fine)
        return self.head(self.after(y + F.interpolate(self.coarse(coarse), size=y.shape[2:])))


class Answering(nn.Module):
    """One network, its results in one of many structures."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer, self.body, self.map, self.head = answer, conv_bn(3, 8), nn.Conv2d(8, 4, 1), Head(8)

    def forward(self, x: Tensor) -> Any:
        x = self.body(x)
        return self.answer(self.head(x), self.map(x))


class Calling(nn.Module):
    """What comes in by a call of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = conv_bn(3, 8), Head(8)

    def __call__(self, x: Tensor) -> Tensor:
        return super().__call__((x - 0.5) / 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def pair(seed: int = 0, count: int = 2) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 8, 8, generator=source), torch.randn(count, 4, 4, 4, generator=source)


def both(features: Any) -> tuple[Any, Any]:
    first, second = features
    return first, second


READ: list[tuple[str, Any, Any]] = [
    ("dict", lambda f: list(f.values()), lambda a, b: {"fine": a, "coarse": b}),
    ("numbers as keys", lambda f: (f[0], f[1]), lambda a, b: ({0: a, 1: b},)),
    ("list", both, lambda a, b: [a, b]),
    ("tuple", both, lambda a, b: ((a, b),)),
    ("named tuple", lambda f: (f.fine, f.coarse), Maps),
    ("dataclass", lambda f: (f.fine, f.coarse), Pyramid),
    ("another mapping", lambda f: (f["fine"], f["coarse"]), lambda a, b: (UserDict(fine=a, coarse=b),)),
    ("nested", lambda f: (f["maps"][0], f["maps"][1]["last"]), lambda a, b: {"maps": [a, {"last": b, "none": None}]}),
    ("none inside", lambda f: (f[0], f[1] if f[2] is None else f[2]), lambda a, b: [a, b, None]),
]


@pytest.mark.parametrize(("read", "made"), [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_inputs_of_any_structure(read: Any, made: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = lively(Merging(read)).eval()
    space = eagleeye.trace(network, made(*pair()))
    assert len(space.groups) == 2
    assert eagleeye.check(network, space, [0.5, 0.5], made(*pair(1, 3))) < 1e-9
    whole = eagleeye.prune(network, space, [0.0, 0.0])
    with torch.no_grad():
        torch.testing.assert_close(call(whole, made(*pair(2))), call(network, made(*pair(2))))
    thin = eagleeye.prune(network, space, [0.5, 0.5])
    eagleeye.adapt_batch_norm(thin, [made(*pair(seed, 4)) for seed in range(3)])
    assert eagleeye.evaluate(thin, [(made(*pair(1)), torch.tensor([0, 1]))]).loss > 0
    if made is not Pyramid:
        eagleeye.save(thin, tmp_path / "thin.safetensors")
        with torch.no_grad():
            again = call(eagleeye.load(tmp_path / "thin.safetensors"), made(*pair(3)))
            assert torch.equal(again, call(thin.eval(), made(*pair(3))))


ANSWERS: list[tuple[str, Any, Any]] = [
    ("dict", lambda a, b: {"out": a, "maps": {"last": b}, 3: None}, lambda o: [o["out"], o["maps"]["last"]]),
    ("ordered dict", lambda a, b: OrderedDict(out=a, aux=b), lambda o: [o["out"], o["aux"]]),
    ("kind of dict", lambda a, b: ModelOutput(out=a, aux=b), lambda o: [o["out"], o["aux"]]),
    ("tuple", lambda a, b: (a, [b]), lambda o: [o[0], o[1][0]]),
    ("list", lambda a, b: [a, b], lambda o: [o[0], o[1]]),
    ("named tuple", Out, lambda o: [o.logits, o.features, o[0]]),
    ("dataclass", lambda a, b: Result(a, maps=(b,)), lambda o: [o.logits, o.maps[0]]),
    ("in each other", lambda a, b: {"r": [Result(a, b), Out(a, (b, 3))]}, lambda o: [o["r"][0].loss, o["r"][1].logits]),
]


@pytest.mark.parametrize(("answer", "read"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_outputs_of_any_structure(answer: Any, read: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, x = lively(Answering(answer)).eval(), pair()[0]
    space = eagleeye.trace(network, x)
    assert [group.channels for group in space.groups] == [8]
    assert space.unstorable == ()
    assert eagleeye.check(network, space, [0.5], x) < 1e-9
    whole = eagleeye.prune(network, space, [0.0])
    with torch.no_grad():
        found, wanted = whole(x), network(x)
        assert type(found) is type(wanted)
        torch.testing.assert_close(tensors(found), tensors(wanted))
        thin = eagleeye.prune(network, space, [0.5])
        eagleeye.save(thin, tmp_path / "thin.safetensors")
        again = eagleeye.load(tmp_path / "thin.safetensors")
        # What needs the user's classes is read in the same way without them.
        assert all(torch.equal(one, other) for one, other in zip(read(again(x)), read(thin(x)), strict=True))
        eagleeye.save(again, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "thin.safetensors").read_bytes()


@pytest.mark.parametrize("given", [{"x": pair()[0], "flip": True}, (pair()[0], "left")])
def test_what_would_be_recorded_for_good_is_refused(given: Any) -> None:
    class Flipping(nn.Module):
        def forward(self, x: Tensor, flip: Any = False) -> Tensor:
            return x.flip(-1) if flip else x

    with pytest.raises(TraceError, match=r"'flip' is '(True|left)', a (bool|str), whose value would be recorded"):
        eagleeye.trace(Flipping(), given)


def test_numbers_follow_what_is_given() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = conv_bn(3, 8), Head(8)

        def forward(self, x: Tensor, scale: float) -> Tensor:
            return self.head(self.body(x * scale))

    network, x = lively(Scaled()).eval(), pair()[0]
    whole = eagleeye.prune(network, eagleeye.trace(network, (x, 2)), [0.0])
    torch.testing.assert_close(whole(x, 3), network(x, 3))


def test_a_call_of_its_own_is_recorded() -> None:
    network, x = lively(Calling()).eval(), pair()[0]
    space = eagleeye.trace(network, x)
    assert eagleeye.check(network, space, [0.5], x) < 1e-9
    with torch.no_grad():
        torch.testing.assert_close(eagleeye.prune(network, space, [0.0])(x), network(x))


def test_the_example_is_left_alone() -> None:
    class Taking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = conv_bn(3, 8), Head(8)

        def forward(self, features: dict[str, Tensor]) -> Tensor:
            return self.head(self.body(features.pop("x").mul_(2)))

    x = pair()[0]
    given = {"x": x.clone()}
    eagleeye.trace(lively(Taking()), given)
    assert torch.equal(given["x"], x)


def test_an_example_without_tensors_is_refused() -> None:
    with pytest.raises(TraceError, match="example_input: a dict without a tensor"):
        eagleeye.trace(Calling(), {})
    assert mapped({}, Tensor.clone) == {}
