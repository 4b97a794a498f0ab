"""What a checkpoint says about itself: texts that safetensors files keep beside the weights."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors

from eagleeye.data import Preprocess
from eagleeye.errors import CheckpointError, ConfigError
from eagleeye.models.stored import is_safetensors
from eagleeye.references import described

# Under this one, `eagleeye.save` keeps its own; the user's lie within it.
_OURS = "eagleeye"
_NAMES = ("size", "resize", "mean", "std")
ACCURACIES = ("accuracy", "test_accuracy", "validation_accuracy", "sub_validation_accuracy")
"""Texts that are taken for the network's accuracy, the first that is there."""


def read_texts(path: str | Path) -> dict[str, str]:
    """The texts in a checkpoint; the weights are not read.

    Args:
        path: Any checkpoint. Only safetensors files, such as `eagleeye.save` writes, have texts.

    Returns:
        Texts by name.

    Raises:
        CheckpointError: The file is missing, or damaged.
    """
    if not is_safetensors(Path(path)):
        return {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            texts: dict[str, str] = file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"checkpoint {path} is not a whole safetensors file ({error}): copy it again") from error
    ours = _parsed(texts.get(_OURS, ""))
    inner = ours.get("metadata") if isinstance(ours, Mapping) else None
    return {**texts, **({str(name): str(text) for name, text in inner.items()} if isinstance(inner, Mapping) else {})}


def preprocess_told(texts: Mapping[str, str], path: str | Path) -> Preprocess | None:
    """How images are to be prepared, by a checkpoint's texts.

    Args:
        texts: From `read_texts`: `preprocess`, JSON with size, resize, mean and std, or these as texts of their own.
        path: The checkpoint, for the message.

    Returns:
        The preparation; None where the texts do not tell size, mean and std.

    Raises:
        CheckpointError: What they tell cannot be.
    """
    if "preprocess" not in texts and not {"size", "mean", "std"} <= texts.keys():
        return None
    told = {name: _parsed(texts.get(name)) for name in _NAMES}
    if "preprocess" in texts:
        told = _parsed(texts["preprocess"])
    try:
        if not isinstance(told, Mapping):
            raise TypeError("preprocess is no JSON with these")
        values = {name: told[name] for name in _NAMES if told.get(name) is not None}
        mean, std = ([value] if isinstance(value, int | float) else value for value in (values["mean"], values["std"]))
        return Preprocess(**{**values, "mean": tuple(mean), "std": tuple(std)})
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise CheckpointError(
            f"checkpoint {path}: size, resize, mean and std of its metadata cannot be: {described(error)}; save it with"
            " others, or set data.preprocess"
        ) from error


def accuracy_told(texts: Mapping[str, str]) -> float | None:
    """The network's accuracy, by a checkpoint's texts.

    Args:
        texts: From `read_texts`.

    Returns:
        In [0, 1], per cent or not; None where no text of `ACCURACIES` is such a number.
    """
    for name in ACCURACIES:
        value = _parsed(texts.get(name))
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 < value <= 100:
            return value / 100 if value > 1 else float(value)
    return None


def _parsed(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    # Whatever others keep in texts of the same names.
    except (ValueError, RecursionError):
        return None
