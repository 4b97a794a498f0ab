"""Reading the checkpoints that users bring, and writing those of unpruned networks."""

import argparse
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from eagleeye.errors import CheckpointError
from eagleeye.files import written_whole
from eagleeye.references import described

# Keys under which training scripts keep the weights beside optimiser, epoch and so on; the likeliest first.
_WRAPPINGS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
# What DataParallel, torch.compile and lightning put before every name.
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
# torchvision's published weights hold auxiliary classifiers that a network may have been built without.
_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")
_NAMED = 3


def load_checkpoint(model: nn.Module, path: str | Path) -> None:
    """Load weights into a model; all of them or, with an error, none.

    Args:
        model: The network that the checkpoint was trained with.
        path: A safetensors file, or a state dict written by `torch.save`, plain or wrapped
            (`{"state_dict": ...}`, names with the prefix `module.`). Counters of batches seen by BN layers
            may be absent.

    Raises:
        CheckpointError: The file is missing or damaged, does not fit the model, or holds NaN.
    """
    path = Path(path)
    found = _without_prefix(_read(path), set(model.state_dict()))
    if getattr(model, "aux_logits", True) is False:
        found = {name: tensor for name, tensor in found.items() if not name.startswith(_AUXILIARY)}
    _check_fit(model, found, path)
    _check_finite(found, path)
    # Not strict only for the sake of absent counters; everything else was checked above.
    model.load_state_dict(found, strict=False)


def save_checkpoint(model: nn.Module, path: str | Path) -> None:
    """Write the weights of an unpruned network as safetensors.

    Args:
        model: The network.
        path: The file, conventionally named `*.safetensors`.

    Raises:
        ArtifactError: The file cannot be written.
    """
    # Copies: safetensors refuses tensors that share memory.
    weights = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}
    data = safetensors.torch.save(weights)
    with written_whole(path) as temporary:
        temporary.write_bytes(data)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist, or is not a file")
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (SafetensorError, OSError, ValueError) as cause:
            raise CheckpointError(
                f"checkpoint {path} is not a whole safetensors file ({described(cause)}): copy or fetch it again"
            ) from cause
    return _state_dict(_unpickled(path), path)


def _unpickled(path: Path) -> Any:
    try:
        # Training scripts like to add their command line; it is a plain record of values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as cause:
        if zipfile.is_zipfile(path) or "Unsupported" in str(cause):
            raise CheckpointError(
                f"checkpoint {path} holds Python objects besides tensors, and unpickling those could run "
                "any code: save the weights alone, with torch.save(model.state_dict(), path)"
            ) from cause
        raise CheckpointError(f"checkpoint {path} is damaged, or was not written by torch.save") from cause
    # A damaged file makes torch raise almost anything.
    except Exception as cause:
        raise CheckpointError(
            f"checkpoint {path} is damaged, or was not written by torch.save ({described(cause)[:160]})"
        ) from cause


def _state_dict(stored: Any, path: Path) -> dict[str, Tensor]:
    while isinstance(stored, Mapping):
        if stored and all(isinstance(value, Tensor) for value in stored.values()):
            return dict(stored)
        inner = next((stored[key] for key in _WRAPPINGS if isinstance(stored.get(key), Mapping)), None)
        if inner is None:
            keys = ", ".join(repr(key) for key in list(stored)[:_NAMED]) or "nothing"
            raise CheckpointError(
                f"checkpoint {path} holds no state dict: found {keys}, looked for tensors by name, or for "
                f"{', '.join(_WRAPPINGS)}"
            )
        stored = inner
    raise CheckpointError(f"checkpoint {path} holds a {type(stored).__name__}; needed is a state dict")


def _without_prefix(found: dict[str, Tensor], wanted: set[str]) -> dict[str, Tensor]:
    for prefix in _PREFIXES * 2:
        if all(name.startswith(prefix) for name in found) and not wanted & set(found):
            found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return found


def _check_fit(model: nn.Module, found: dict[str, Tensor], path: Path) -> None:
    wanted = model.state_dict()
    missing = [name for name in wanted if name not in found and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in found if name not in wanted]
    misshapen = [name for name in wanted if name in found and found[name].shape != wanted[name].shape]
    if not missing and not unexpected and not misshapen:
        return
    if not missing and not unexpected and (counts := _class_counts(model, found, misshapen)):
        raise CheckpointError(
            f"checkpoint {path} was trained for {counts[0]} classes, the model has {counts[1]} "
            f"({misshapen[0]}): use the checkpoint of these data, or data with {counts[0]} classes"
        )
    shapes = [f"{name} {tuple(found[name].shape)} instead of {tuple(wanted[name].shape)}" for name in misshapen]
    complaints = [("missing", missing), ("unexpected", unexpected), ("wrong shape", shapes)]
    details = "; ".join(f"{what}: {_few(names)}" for what, names in complaints if names)
    raise CheckpointError(f"checkpoint {path} does not fit the model: {details}; is it another architecture?")


def _class_counts(model: nn.Module, found: dict[str, Tensor], misshapen: list[str]) -> tuple[int, int] | None:
    """Numbers of classes (checkpoint, model) where these explain all differences in shape."""
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    wanted = model.state_dict()
    pairs = {(found[name].shape[:1], wanted[name].shape[:1]) for name in misshapen}
    same_inputs = all(found[name].shape[1:] == wanted[name].shape[1:] for name in misshapen)
    if not layers or len(pairs) != 1 or not same_inputs or f"{layers[-1]}.weight" not in misshapen:
        return None
    (theirs, ours) = next(iter(pairs))
    return theirs[0], ours[0]


def _check_finite(found: dict[str, Tensor], path: Path) -> None:
    broken = [name for name, tensor in found.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise CheckpointError(
            f"checkpoint {path} holds NaN or infinite weights in {_few(broken)}: the training that wrote it "
            "diverged; use an earlier checkpoint"
        )


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
