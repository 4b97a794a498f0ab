"""Reading the checkpoints that users bring, and writing those of unpruned networks."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from eagleeye.errors import CheckpointError
from eagleeye.files import written_whole
from eagleeye.models.stored import read_stored
from eagleeye.models.weights import COUNTERS, WRAPPINGS, Weights, ambiguous, find_weights

# torchvision's published weights hold auxiliary classifiers that a network may have been built without.
_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")
_NAMED = 3


def load_checkpoint(model: nn.Module, path: str | Path, *, say: Callable[[str], None] | None = None) -> None:
    """Load weights into a model; all of them or, with an error, none.

    Args:
        model: The network that the checkpoint was trained with.
        path: A safetensors file, or one written by `torch.save`: a state dict, plain or beside other things
            (`{"state_dict": ...}`), its names with or without a prefix (`module.`, `model.`). Counters of batches
            seen by BN layers may be absent. Of several that fit, a moving average (`model_ema`) is taken.
        say: Told which weights were taken where there was a choice, and what was left out; by default the log.

    Raises:
        CheckpointError: The file is missing or damaged, does not fit the model, holds NaN, or several sets of
            weights of which none is likelier than the others.
    """
    path = Path(path)
    stored = read_stored(path)
    wanted = model.state_dict()
    ignored = _AUXILIARY if getattr(model, "aux_logits", True) is False else ()
    found = find_weights(_mapping(stored, path), wanted, ignored)
    if not found:
        raise CheckpointError(_holds_none(stored, path))
    _check_fit(model, found[0].tensors, path)
    if rivals := ambiguous(found):
        names = ", ".join(f"{entry}" for entry in (found[0], *rivals))
        raise CheckpointError(
            f"checkpoint {path} holds several sets of weights that fit: {names}; save the one that is meant alone, as "
            "a state dict in a file of its own"
        )
    _check_finite(found[0].tensors, path)
    # Not strict only for the sake of absent counters; everything else was checked above.
    model.load_state_dict(found[0].tensors, strict=False)
    for line in _remarks(found, path):
        (say or logging.getLogger(__name__).warning)(line)


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


def _mapping(stored: Any, path: Path) -> Mapping[Any, Any]:
    if not isinstance(stored, Mapping):
        raise CheckpointError(f"checkpoint {path} holds a {type(stored).__name__}; needed is a state dict")
    return stored


def _holds_none(stored: Mapping[Any, Any], path: Path) -> str:
    inner: Mapping[Any, Any] | None = stored
    while inner is not None:
        stored = inner
        inner = next((stored[key] for key in WRAPPINGS if isinstance(stored.get(key), Mapping)), None)
    keys = ", ".join(repr(key) for key in list(stored)[:_NAMED]) or "nothing"
    return f"checkpoint {path} holds no state dict: found {keys}, looked for tensors by name, at any place"


def _remarks(found: list[Weights], path: Path) -> list[str]:
    """What to tell about a choice."""
    taken, *others = found
    rest = [f"{entry}" for entry in others if entry.fit]
    rest += [f"{entry} (lacks {_few(list(entry.missing))})" for entry in others if entry.is_average and entry.missing]
    kind = "a moving average" if taken.is_average else "the likeliest by its name"
    lines = []
    if rest:
        lines.append(
            f"checkpoint {path}: the weights {taken} are taken, {kind}; not taken: {_few(rest)}; to prune another, "
            "save it alone"
        )
    elif taken.is_average:
        lines.append(f"checkpoint {path}: the weights that are taken are a moving average")
    told = tuple(entry.prefix for entry in others if entry.place == taken.place and entry.prefix)
    if beside := [name for name in taken.beside if name not in COUNTERS and not name.startswith(told)]:
        lines.append(f"checkpoint {path}: left out, as they are not of the model: {_few(beside)}")
    return lines


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
