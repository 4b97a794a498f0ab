"""Network files as a stranger may craft them: mutated descriptions under a right checksum, mutated bytes."""

from __future__ import annotations

import builtins
import copy
import json
import operator
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import eagleeye
from eagleeye.errors import ArtifactError
from eagleeye.saving.artifact import _digest, _read
from eagleeye.stored.layers import LAYERS
from eagleeye.stored.vocabulary import functions, methods
from tests.eagleeye.network_parts import Head, conv_bn
from tests.eagleeye.networks import Residual, Shuffle, Twice

INPUT = (2, 3, 12, 12)


class Everything(nn.Module):
    """Layers and calls of many kinds, for mutations to start from."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.second, self.head = conv_bn(3, 8), conv_bn(9, 8), Head(8)
        self.rnn = nn.LSTM(8, 4, 2, bidirectional=True)
        self.attention, self.up = nn.MultiheadAttention(8, 2), nn.Upsample(scale_factor=2.0)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2)
        self.shift = nn.Parameter(torch.rand(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x) * self.shift
        ones = torch.linspace(0, 1, x.shape[3], dtype=x.dtype).view(1, 1, 1, -1).expand(x.shape[0], 1, x.shape[2], -1)
        x = F.interpolate(self.second(torch.cat([x, ones], dim=1)), size=(6, 6))
        sequence = x.flatten(2).permute(2, 0, 1)
        sequence = self.encoder(self.attention(sequence, sequence, sequence)[0] + self.rnn(sequence)[0])
        return self.head(self.up(sequence.permute(1, 2, 0).reshape(x.shape[0], 8, 6, 6)) + x.new_zeros(1))


@cache
def bases() -> list[tuple[dict[str, Any], dict[str, Tensor]]]:
    """What honest files hold."""
    import tempfile

    found = []
    with tempfile.TemporaryDirectory() as folder:
        for network in (Everything(), Residual(), Shuffle(), Twice()):
            space = eagleeye.trace(network.eval(), torch.randn(1, *INPUT[1:]))
            path = Path(folder, "base.safetensors")
            eagleeye.save(eagleeye.prune(network, space, [0.3] * len(space.groups)), path)
            found.append(_read(path))
    return found


@cache
def _words() -> list[str]:
    spaces = (torch, Tensor, F, nn, builtins, operator, torch.utils, torch.nn.Module, str, list, dict, torch.Size)
    words = {name for space in spaces for name in dir(space)}
    prefixed = {f"{prefix}.{name}" for prefix in ("torch", "operator", "torch.nn.functional") for name in words}
    odd = {"getattr", "os.system", "self", "class", "a.b", "x y", '"', "\n", "", "cuda", "hpu", "module", "inductor"}
    return sorted(words | prefixed | odd)


def _junk(random: Random) -> Any:
    """Something that does not belong where it will stand."""
    numbers = [0, 1, -1, 2, 3, 7, 64, 1000, 10**6, 10**9, 2**31, 2**63, 10**30, -(10**12), 0.5, 1e30]
    numbers += [float("nan"), float("inf")]
    kinds: list[Callable[[], Any]] = [
        lambda: random.choice(numbers),
        lambda: random.choice(_words()),
        lambda: random.choice(sorted(functions()) + sorted(methods()) + sorted(LAYERS)),
        lambda: random.choice([None, True, False, [], {}, [[]], {"tuple": []}, {"dict": []}, {"ellipsis": True}]),
        lambda: {random.choice(["node", "tuple", "slice", "dict", "dtype", "device", "layer", "x"]): _junk(random)},
        lambda: [_junk(random) for _ in range(random.randrange(4))],
        lambda: {"dtype": random.choice(["float16", "int8", "quint8", "bool", "complex64", "float32"])},
        lambda: {"tuple": [random.choice(numbers) for _ in range(random.randrange(5))]},
    ]
    return random.choice(kinds)()


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _places(item, (*path, key))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _change(random: Random, content: dict[str, Any]) -> None:
    """One mutation of a description: of any value in it, of a step, or a step more."""
    described = content.get("architecture")
    nodes = described.get("nodes") if isinstance(described, dict) else None
    if isinstance(nodes, list) and len(nodes) > 2 and random.random() < 0.6:
        _change_step(random, nodes)
        return
    places = list(_places(content))
    if not places:
        return
    *path, key = random.choice(places)
    owner = _at(content, tuple(path))
    action = random.randrange(5)
    if action == 0:
        del owner[key]
    elif action == 1:
        owner[key] = copy.deepcopy(_at(content, random.choice(places)))
    elif action == 2 and isinstance(owner, dict):
        owner[random.choice(_words())] = owner.pop(key)
    else:
        owner[key] = _junk(random)


def _change_step(random: Random, nodes: list[Any]) -> None:
    place = random.randrange(1, len(nodes))
    node = nodes[place]
    if not isinstance(node, list) or len(node) != 5:
        return
    earlier = [{"node": other[1]} for other in nodes[:place] if isinstance(other, list) and len(other) == 5]
    earlier = earlier or [{"node": "x"}]
    action = random.randrange(4)
    if action == 0:  # another call on the same values
        node[0] = random.choice(["call_method", "call_function"])
        node[2] = _target(random, node[0])
    elif action == 1 and isinstance(node[3], dict) and isinstance(node[3].get("tuple"), list):
        given = node[3]["tuple"]
        given.insert(random.randrange(len(given) + 1), random.choice([_junk(random), random.choice(earlier)]))
    elif action == 2:  # a step between, which later ones read
        name = f"extra_{place}_{random.randrange(1000)}"
        call = random.choice(["call_method", "call_function"])
        given = [random.choice(earlier), *(_argument(random, earlier) for _ in range(random.randrange(4)))]
        nodes.insert(place, [call, name, _target(random, call), {"tuple": given}, {"dict": []}])
        later = nodes[place + 1]
        read = (
            later[3].get("tuple")
            if isinstance(later, list) and len(later) == 5 and isinstance(later[3], dict)
            else None
        )
        if isinstance(read, list) and read:
            read[0] = {"node": name}
    else:
        node[random.randrange(len(node))] = _junk(random)


def _target(random: Random, call: str) -> str:
    allowed = sorted(methods()) if call == "call_method" else sorted(functions())
    return random.choice(_words() if random.random() < 0.2 else allowed)


def _argument(random: Random, earlier: list[Any]) -> Any:
    small = random.choice([-1, 0, 1, 2, 3, 4, 8, 0.5, True, None, {"tuple": [1, 2]}, [0, 1], {"dtype": "int64"}])
    return random.choice([small, small, random.choice(earlier), _junk(random)])


def craft(seed: int, path: Path) -> None:
    """Write a crafted file."""
    random = Random(seed)  # noqa: S311
    content, tensors = copy.deepcopy(random.choice(bases()))
    for _ in range(random.choice([1, 1, 1, 2, 3, 6])):
        _change(random, content)
    if random.random() < 0.15:
        name = random.choice(sorted(tensors))
        tensor = tensors.pop(name)
        others = [tensor.reshape(-1)[:1], tensor.double(), tensor.to(torch.int32), tensor.flatten(), None]
        other = random.choice(others)
        if other is not None:
            tensors[random.choice([name, name, "a.b", "graph"])] = other.contiguous().clone()
    content.pop("sha256", None)
    content["sha256"] = _digest(content, tensors)
    text = json.dumps(content, sort_keys=True)
    if random.random() < 0.02:
        text = text[: len(text) // 2] + "[" * 100_000
    safetensors.torch.save_file(tensors, path, {"eagleeye": text})
    if random.random() < 0.05:
        raw = bytearray(path.read_bytes())
        for _ in range(random.randrange(1, 4)):
            raw[random.randrange(len(raw))] = random.randrange(256)
        path.write_bytes(raw[: random.choice([len(raw), len(raw), random.randrange(len(raw))])])


class Watch:
    """Notes what Python is asked to do beyond computing: imports, files, processes, sockets."""

    _watched = ("import", "os.", "subprocess.", "socket.", "shutil.", "ctypes.dlopen", "marshal.", "pickle.")

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
        if writes or event.startswith(self._watched):
            self.seen.append(f"{event} {str(args[0])[:80] if args else ''}")

    @contextmanager
    def watching(self) -> Iterator[None]:
        self.on = True
        try:
            yield
        finally:
            self.on = False


@contextmanager
def little_memory(more: int = 2**31) -> Iterator[None]:
    """Let this process have so many bytes more than it has, and no more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def outcome(path: Path) -> str:
    """What loading a file and running its network ends in; anything but refusals and errors of torch is raised."""
    try:
        network = eagleeye.load(path)
    except ArtifactError as error:
        assert "\n" not in str(error), error
        return "refused"
    try:
        with torch.inference_mode(), little_memory():
            result = network(torch.ones(INPUT))
    except Exception:  # a wrong call is the network's own
        return "fails"
    _require_values(result)
    return "runs"


def _require_values(result: Any) -> None:
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (tuple, list)):
        for item in result:
            _require_values(item)
        return
    plain = (Tensor, int, float, bool, str, complex, slice, type(None), type(...), torch.dtype, torch.device)
    assert isinstance(result, (*plain, torch.memory_format)), type(result)
