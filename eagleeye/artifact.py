"""Networks as files: safetensors weights with the architecture in the metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, fx, nn

from eagleeye.architecture import describe, rebuild
from eagleeye.errors import ArtifactError
from eagleeye.files import written_whole

_KEY = "eagleeye"
"""The one metadata key: with several their order in the file would be random."""
_FORMAT = 1


def save(network: nn.Module, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Save a pruned network: weights and architecture in one safetensors file, written beside and renamed.

    Args:
        network: From `Engine.network`, `prune` or `load`, as it is to be used: recalibrated or trained after `prune`.
            Its mode and device do not matter.
        path: File to write.
        metadata: Texts to keep with it, e.g. how images are normalised.

    Raises:
        ArtifactError: It is no traced network, holds something that cannot be described, or cannot be written.
    """
    if not isinstance(network, fx.GraphModule):
        raise ArtifactError(
            f"network {type(network).__name__}: only networks that prune() made can be saved; prune with rate 0 for all"
            " groups to save an unpruned one"
        )
    tensors, aliases = _unshared(network)
    content = {
        "format": _FORMAT,
        "name": type(network).__name__,
        "architecture": describe(network),
        "aliases": aliases,
        "metadata": dict(metadata or {}),
    }
    content["sha256"] = _digest(content, tensors)
    with written_whole(Path(path)) as beside:
        safetensors.torch.save_file(tensors, beside, {_KEY: json.dumps(content, sort_keys=True)})


def load(path: str | Path) -> fx.GraphModule:
    """Load a network that `save` wrote; needs neither the original checkpoint nor the code that built it.

    Args:
        path: The file.

    Returns:
        The network on the CPU, in evaluation mode; outputs equal those of the saved one bit for bit.

    Raises:
        ArtifactError: The file is missing, damaged, or no such file.
    """
    content, tensors = _read(Path(path))
    if _digest({k: v for k, v in content.items() if k != "sha256"}, tensors) != content.get("sha256"):
        raise ArtifactError(f"file '{path}': its content does not match its checksum; it is damaged: copy it again")
    network = rebuild(content["architecture"], content["name"])
    for alias, name in content["aliases"].items():
        tensors[alias] = tensors[name]
    network.load_state_dict(tensors, assign=True)
    _share(network, content["aliases"])
    return network.eval()


def read_metadata(path: str | Path) -> dict[str, str]:
    """The texts that were saved with a network.

    Args:
        path: The file.

    Returns:
        What `save` was given.

    Raises:
        ArtifactError: As for `load`; the weights are not checked.
    """
    return dict(_read(Path(path))[0]["metadata"])


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
    try:
        content: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise ArtifactError(f"file '{path}': its architecture cannot be read ({error}); it is damaged") from error
    if content.get("format") != _FORMAT:
        raise ArtifactError(f"file '{path}': format {content.get('format')} is not {_FORMAT}; save it again")
    return content, tensors


def _unshared(network: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors under their first names, and the further names of shared ones."""
    first: dict[int, str] = {}
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        known = first.setdefault(id(tensor), name)
        if known == name:
            tensors[name] = tensor.detach().cpu().contiguous()
        else:
            aliases[name] = known
    return tensors, aliases


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
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
