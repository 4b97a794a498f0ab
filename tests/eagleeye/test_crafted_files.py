"""A network's file is data from strangers: whatever is in it, loading and running it computes with tensors at most."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import eagleeye
from eagleeye.errors import ArtifactError
from eagleeye.saving.artifact import _digest
from tests.eagleeye.crafting import INPUT, Watch, bases, craft, outcome

CALL = {"tuple": [{"node": "x"}]}
NONE: dict[str, Any] = {"dict": []}


@pytest.fixture(scope="module")
def watch() -> Watch:
    for seed in range(5):  # what torch imports when it first needs it
        torch.manual_seed(seed)
        torch.einsum("ij,jk->ik", torch.ones(2, 2), torch.ones(2, 2))
    return Watch()


def _seeds(count: int) -> Any:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=count, deadline=None, suppress_health_check=checks, print_blob=True)


def _try(seed: int, watch: Watch, folder: Path) -> None:
    path = folder / "crafted.safetensors"
    try:
        craft(seed, path)
    except (TypeError, ValueError, OverflowError, KeyError, safetensors.SafetensorError):
        return  # no file can hold that
    started = time.monotonic()
    with watch.watching():
        outcome(path)
    assert not watch.seen, f"seed {seed}: {watch.seen}"
    assert [entry.name for entry in folder.iterdir()] == [path.name], seed
    assert time.monotonic() - started < 60, seed


@given(st.integers(0, 2**32))
@settings(_seeds(60), derandomize=True)
def test_crafted_files_compute_with_tensors_at_most(watch: Watch, tmp_path: Path, seed: int) -> None:
    _try(seed, watch, tmp_path)


@pytest.mark.slow
@given(st.integers(0, 2**32))
@_seeds(3000)
def test_many_crafted_files_compute_with_tensors_at_most(watch: Watch, tmp_path: Path, seed: int) -> None:
    _try(seed, watch, tmp_path)


def _written(path: Path, change: Any, tensors: dict[str, Tensor] | None = None) -> Path:
    content, own = copy.deepcopy(bases()[0])
    own = own if tensors is None else tensors
    content.pop("sha256")
    content = change(content) or content
    if isinstance(content, dict):
        content["sha256"] = _digest(content, own)
    safetensors.torch.save_file(own, path, {"eagleeye": json.dumps(content, sort_keys=True)})
    return path


def _with_step(*steps: list[Any]) -> Any:
    def change(content: dict[str, Any]) -> None:
        nodes = content["architecture"]["nodes"]
        nodes[1:1] = [list(step) for step in steps]
        nodes[-1][3] = {"tuple": [{"node": steps[-1][1]}]}

    return change


STEPS = {
    "a storage": [["call_method", "s", "untyped_storage", CALL, NONE]],
    "a module by its name": [
        ["call_method", "s", "untyped_storage", CALL, NONE],
        ["call_method", "m", "type", {"tuple": [{"node": "s"}, "antigravity"]}, NONE],
    ],
    "a type by its name": [["call_method", "m", "type", {"tuple": [{"node": "x"}, "antigravity"]}, NONE]],
    "a resized tensor": [["call_method", "r", "resize_", {"tuple": [{"node": "x"}, 10**6]}, NONE]],
    "a tensor set elsewhere": [["call_method", "r", "set_", CALL, NONE]],
    "an array": [["call_method", "r", "numpy", CALL, NONE]],
    "a method of what is no tensor": [["call_method", "r", "view", {"tuple": ["x"]}, NONE]],
    "a function on every element": [["call_method", "r", "apply_", CALL, NONE]],
    "a file": [["call_function", "r", "torch.from_file", {"tuple": ["/etc/passwd"]}, NONE]],
    "memory as it is": [["call_function", "r", "torch.empty", {"tuple": [9]}, NONE]],
    "a function of functions": [
        ["call_function", "r", "torch.nn.functional.triplet_margin_with_distance_loss", CALL, NONE]
    ],
    "an attribute": [["call_function", "r", "getattr", {"tuple": [{"node": "x"}, "__class__"]}, NONE]],
    "an attribute told by a step": [["call_function", "r", "getattr", {"tuple": [{"node": "x"}, {"node": "x"}]}, NONE]],
    "a layer as a value": [["get_attr", "r", "rnn", {"tuple": []}, NONE]],
    "another device": [["call_method", "r", "to", {"tuple": [{"node": "x"}, "hpu"]}, NONE]],
    "many numbers": [["call_function", "r", "torch.zeros", {"tuple": [10**5, 10**5]}, NONE]],
    "many copies": [["call_method", "r", "repeat", {"tuple": [{"node": "x"}, 9999, 9999, 99, 1]}, NONE]],
    "a large picture": [
        ["call_function", "r", "torch.nn.functional.interpolate", CALL, {"dict": [["scale_factor", 1e6]]}]
    ],
    "an endless power": [["call_function", "r", "operator.pow", {"tuple": [{"node": "x"}, 10**9]}, NONE]],
    "a name that is code": [["call_method", "r;import os", "relu", CALL, NONE]],
    "a keyword that is code": [["call_method", "r", "relu", CALL, {"dict": [["a=print()", 1]]}]],
    "a default that is a step": [["placeholder", "r", "y", CALL, NONE]],
    "a number too long": [["call_method", "r", "add", {"tuple": [{"node": "x"}, 10**40]}, NONE]],
    "a step from later": [["call_method", "r", "add", {"tuple": [{"node": "x"}, {"node": "output"}]}, NONE]],
}  # fmt: skip


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_a_step_that_does_more_is_refused(steps: list[list[Any]], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"file '.*not to be trusted$"):
        eagleeye.load(_written(tmp_path / "x.safetensors", _with_step(*steps)))


def test_a_harmless_step_is_not(tmp_path: Path) -> None:
    path = _written(tmp_path / "x.safetensors", _with_step(["call_method", "r", "relu", CALL, NONE]))
    assert eagleeye.load(path)(torch.ones(INPUT)).shape == INPUT


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"tuple": [value]}
    return value


def _architecture(**sections: Any) -> Any:
    return lambda content: content | {"architecture": content["architecture"] | sections}


CONTENTS = {
    "a list": lambda _: [1],
    "no architecture": lambda content: {key: value for key, value in content.items() if key != "architecture"},
    "no aliases": lambda content: {key: value for key, value in content.items() if key != "aliases"},
    "aliases of nothing": lambda content: content | {"aliases": {"a": "b"}},
    "an alias too many": lambda content: content | {"aliases": {"a": "shift"}},
    "steps that are none": _architecture(nodes=[1, None, "x"]),
    "no steps": _architecture(nodes=[]),
    "no output": _architecture(nodes=[["placeholder", "x", "x", {"tuple": []}, NONE]], layers={}, tensors={}),
    "layers that are none": _architecture(layers=[1]),
    "a layer too few": _architecture(layers={}),
    "a tensor too few": _architecture(tensors={}),
    "a tensor that is no list": _architecture(tensors={"shift": 3}),
    "another shape": _architecture(tensors={"shift": ["parameter", [10**9, 10**9]]}),
    "deep values": _with_step(["call_method", "r", "relu", {"tuple": [{"node": "x"}, _nested(100)]}, NONE]),
    "very deep values": _with_step(["call_method", "r", "relu", {"tuple": [{"node": "x"}, _nested(400)]}, NONE]),
    "many steps": lambda content: content["architecture"]["nodes"].extend([["output"]] * 60_000),
}  # fmt: skip


@pytest.mark.parametrize("change", CONTENTS.values(), ids=CONTENTS)
def test_content_that_is_none_is_refused_in_a_line(change: Any, tmp_path: Path) -> None:
    path = _written(tmp_path / "x.safetensors", change)
    started = time.monotonic()
    with pytest.raises(ArtifactError) as refusal:
        eagleeye.load(path)
    assert "\n" not in str(refusal.value)
    assert time.monotonic() - started < 60


def test_metadata_that_are_no_texts_are_refused(tmp_path: Path) -> None:
    for metadata in (None, [], {"mean": 3}):
        path = _written(tmp_path / "x.safetensors", lambda content, given=metadata: content | {"metadata": given})
        with pytest.raises(ArtifactError, match="no texts"):
            eagleeye.read_metadata(path)


def test_text_that_is_no_json_is_refused(tmp_path: Path) -> None:
    for text in ("[" * 100_000, "{", "1" * 10_000, '"\\ud800"', "[" * 2**24 + "]" * 2**24):
        safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "x", {"eagleeye": text})
        with pytest.raises(ArtifactError):
            eagleeye.load(tmp_path / "x")


def test_tensors_of_a_wrong_kind_are_refused(tmp_path: Path) -> None:
    tensors = bases()[0][1]
    for wrong in (tensors["shift"].to(torch.int64), tensors["shift"][:2]):
        path = _written(tmp_path / "x", lambda _: None, tensors | {"shift": wrong.clone()})
        with pytest.raises(ArtifactError, match="not to be trusted"):
            eagleeye.load(path)
