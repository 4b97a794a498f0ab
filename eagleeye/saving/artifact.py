"""Networks as files: safetensors weights with the architecture in the metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, overload

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, fx, nn

from eagleeye.errors import ArtifactError
from eagleeye.files import written_whole
from eagleeye.saving.architecture import describe, rebuild
from eagleeye.saving.around import REST, graph_of, put_into, rest_of
from eagleeye.stored.limits import CHARACTERS

_KEY = "eagleeye"
"""The one metadata key: with several their order in the file would be random."""
_FORMAT = 2


def save(network: nn.Module, path: str | Path, metadata: Mapping[str, str] | None = None, *, core: str = "") -> None:
    """Save a pruned network: weights and architecture in one safetensors file, written beside and renamed.

    What was written is read back, built and compared, tensor by tensor, before it gets its name.

    Args:
        network: From `Engine.network`, `prune` or `load`, as it is to be used: recalibrated or trained after `prune`.
            Its mode and device do not matter.
        path: File to write.
        metadata: Texts to keep with it, e.g. how images are normalised.
        core: The name of the module that was pruned, where it is not the whole network: the file holds its graph and
            weights, and the weights of everything around it, whose code is the user's.

    Raises:
        ArtifactError: It is no traced network, holds something that cannot be described, or cannot be written.
        ModelError: There is no such core.

    Example:
        >>> thin = eagleeye.prune(network, space, [0.5] * len(space.groups))
        >>> eagleeye.save(thin, "pruned.safetensors", {"mean": "0.5"})
    """
    graph = graph_of(network, core)
    tensors, aliases = _unshared(graph)
    rest = {REST + name: _stored(tensor).clone() for name, tensor in rest_of(network, core).items()}
    tensors |= rest
    content = {
        "format": _FORMAT,
        "name": type(graph).__name__,
        "architecture": _described(graph),
        "aliases": aliases,
        "metadata": dict(metadata or {}),
        **({"core": core} if core else {}),
    }
    content["sha256"] = _digest(content, tensors)
    text = json.dumps(content, sort_keys=True)
    if len(text) > CHARACTERS:
        raise ArtifactError(f"network {content['name']}: its forward pass of {len(text):,} characters is too long")
    with written_whole(Path(path)) as beside:
        safetensors.torch.save_file(tensors, beside, {_KEY: text})
        _require_same(load(beside), graph, content["architecture"], path)


def _described(network: fx.GraphModule) -> dict[str, Any]:
    try:
        return describe(network)
    except ArtifactError as error:
        raise ArtifactError(
            f"network {type(network).__name__} cannot be saved: {error}; torch.save(network.state_dict(), path) keeps"
            " its weights, export_program() what it computes"
        ) from error


def _require_same(found: fx.GraphModule, network: fx.GraphModule, architecture: Any, path: str | Path) -> None:
    """Compare what was read back with what was to be written: a difference is this package's mistake, or the disk's."""
    tensors = found.state_dict()
    wanted = network.state_dict()
    same = tensors.keys() == wanted.keys() and all(_identical(tensors[key], wanted[key]) for key in wanted)
    if not same or json.dumps(describe(found)) != json.dumps(architecture):
        raise ArtifactError(f"file '{path}': it reads back as another network: not written; save it again")


def _identical(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and np.array_equal(_bytes_of(one), _bytes_of(other))


@overload
def load(path: str | Path) -> fx.GraphModule: ...
@overload
def load(path: str | Path, into: nn.Module) -> nn.Module: ...
def load(path: str | Path, into: nn.Module | None = None) -> nn.Module:
    """Load a network that `save` wrote; needs neither the original checkpoint nor the code that built it.

    A file is taken as data from strangers: what it names are tensor operations and layers of torch.nn, checked against
    written lists, and its sizes against the tensors it holds. Running the network computes with tensors, as long and
    with as much memory as it asks for, and nothing else.

    Args:
        path: The file.
        into: Where the file is of a network whose core was pruned: a network built as that one was, pruned or not. It
            is left untouched. Without it, the core alone is loaded.

    Returns:
        The network on the CPU, in evaluation mode; outputs equal those of the saved one bit for bit. With `into` a copy
        of that, on its device, with the pruned core and all weights from the file.

    Raises:
        ArtifactError: The file is missing, damaged, no such file, or not to be trusted; or not of such a network.
        ModelError: `into` has no such core.

    Example:
        >>> thin = eagleeye.prune(network, space, [0.5] * len(space.groups))
        >>> eagleeye.save(thin, "pruned.safetensors")
        >>> image = torch.rand(1, 3, 32, 32)
        >>> torch.equal(eagleeye.load("pruned.safetensors")(image), thin.eval()(image))
        True
    """
    content, tensors = _read(Path(path))
    if _digest({k: v for k, v in content.items() if k != "sha256"}, tensors) != content.get("sha256"):
        raise ArtifactError(f"file '{path}': its content does not match its checksum; it is damaged: copy it again")
    rest = {name.removeprefix(REST): tensors.pop(name) for name in list(tensors) if name.startswith(REST)}
    core = content.get("core", "")
    try:
        graph = _build(content, tensors)
    except ArtifactError as error:
        raise ArtifactError(f"file '{path}': {error}; it is damaged or not to be trusted") from error
    if into is None:
        return graph
    if not isinstance(core, str) or not core:
        raise ArtifactError(f"file '{path}': it holds a whole network; load it without into")
    return put_into(into, core, graph, rest)


def _build(content: dict[str, Any], tensors: dict[str, Tensor]) -> fx.GraphModule:
    aliases = content.get("aliases")
    if not isinstance(aliases, dict) or not all(isinstance(name, str) and name in tensors for name in aliases.values()):
        raise ArtifactError("names of shared tensors are missing")
    if aliases.keys() & tensors.keys():
        raise ArtifactError("a tensor is there and shared")
    whole = tensors | {alias: tensors[name] for alias, name in aliases.items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in whole.items()}
    network = rebuild(content.get("architecture"), str(content.get("name")), shapes)
    try:
        network.load_state_dict(whole, assign=True)
    except RuntimeError as error:  # weights that cannot be trained: whole numbers
        raise ArtifactError("tensors are of a type that the layers cannot have") from error
    _share(network, aliases)
    return network.eval()


def read_metadata(path: str | Path) -> dict[str, str]:
    """The texts that were saved with a network.

    Args:
        path: The file.

    Returns:
        What `save` was given.

    Raises:
        ArtifactError: As for `load`; the weights are not checked.

    Example:
        >>> thin = eagleeye.prune(network, space, [0.5] * len(space.groups))
        >>> eagleeye.save(thin, "pruned.safetensors", {"mean": "0.5"})
        >>> eagleeye.read_metadata("pruned.safetensors")
        {'mean': '0.5'}
    """
    metadata = _read(Path(path))[0].get("metadata")
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ArtifactError(f"file '{path}': its metadata are no texts; it is damaged or not to be trusted")
    return metadata


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            # Copies, because kernels round differently where memory is not aligned as torch aligns its own.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise ArtifactError(f"file '{path}': it cannot be read ({error}); it is missing or damaged") from error
    if text is None:
        raise ArtifactError(f"file '{path}': it holds weights but no architecture; load() reads what save() wrote")
    if len(text) > CHARACTERS:
        raise ArtifactError(f"file '{path}': its architecture has {len(text):,} characters, more than {CHARACTERS:,}")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"file '{path}': its architecture cannot be read ({error}); it is damaged") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise ArtifactError(f"file '{path}': format {str(found)[:20]!r} is not {_FORMAT}; save it again")
    return content, tensors


def _unshared(network: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors under their first names, and the further names of shared ones."""
    first: dict[int, str] = {}
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        known = first.setdefault(id(tensor), name)
        if known == name:
            tensors[name] = _stored(tensor)
        else:
            aliases[name] = known
    return tensors, aliases


def _stored(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()


def _share(network: nn.Module, aliases: Mapping[str, str]) -> None:
    for alias, name in aliases.items():
        owner, _, key = alias.rpartition(".")
        source, _, source_key = name.rpartition(".")
        setattr(network.get_submodule(owner), key, getattr(network.get_submodule(source), source_key))


def _digest(content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_bytes_of(tensor))
    return digest.hexdigest()


def _bytes_of(tensor: Tensor) -> Any:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
