"""Fine-tuning by a loop of the user's own: the network is handed out, and looked at when it comes back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from eagleeye.errors import ConfigError, EvaluationError, ModelError
from eagleeye.forward.wrappers import unwrapped
from eagleeye.references import described

Told = Callable[[Mapping[str, float]], None]
"""Told what an epoch came to, e.g. `{"train_loss": 0.31, "mAP": 0.52}`."""
Trainer = Callable[[nn.Module, Path, Told], nn.Module]
"""Trains a network: `trainer(network, folder, told) -> network`."""


class OwnTraining(NamedTuple):
    """What came of it.

    Attributes:
        network: The network that was handed out, with the trained weights, in evaluation mode.
        history: One row per time that the loop told something: epoch (from 1), and what it told.
    """

    network: nn.Module
    history: pd.DataFrame


def train_by(
    trainer: Trainer, network: nn.Module, folder: Path, on_epoch: Callable[[dict[str, float]], None] | None = None
) -> OwnTraining:
    """Have a function of the user's own train a network.

    What it returns may be the network itself, a copy on another device or in a wrapper: its tensors are taken over, and
    nothing else, so that hooks and wrappers stay behind. BN statistics stay as the loop left them.

    Args:
        trainer: Called with a copy of the network in training mode, on its device; a folder that is there, in which it
            may keep its state, to go on from where a killed call stopped; and a function to tell what an epoch came to.
        network: Left as it is.
        folder: The same one, whenever the same training is to go on.
        on_epoch: Called with every row of the history.

    Returns:
        The trained network and what the loop told.

    Raises:
        ModelError: It raises, returns no network, or one with other tensors.
        EvaluationError: The weights hold NaN or infinity.
        ConfigError: What it tells is no number.
    """
    name = _name_of(trainer)
    rows: list[dict[str, float]] = []

    def told(values: Mapping[str, float]) -> None:
        row = {"epoch": float(len(rows) + 1), **_numbers(name, values)}
        rows.append(row)
        if on_epoch is not None:
            on_epoch(row)

    folder.mkdir(parents=True, exist_ok=True)
    returned = _called(trainer, name, copy.deepcopy(network).train(), folder, told)
    trained = copy.deepcopy(network)
    trained.load_state_dict(_checked(name, returned, network.state_dict()))
    return OwnTraining(trained.eval(), pd.DataFrame(rows))


def _called(trainer: Trainer, name: str, network: nn.Module, folder: Path, told: Told) -> Any:
    try:
        with torch.enable_grad():
            return trainer(network, folder, told)
    except (ConfigError, EvaluationError, ModelError):
        raise
    except Exception as error:  # whatever a user's loop raises is the user's to read
        raise ModelError(f"trainer {name}: it stopped: {described(error)}; mend it, and start again") from error


def _checked(name: str, returned: Any, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of what a trainer returned, if they are those of the network that it was given."""
    if not isinstance(returned, nn.Module):
        raise ModelError(
            f"trainer {name}: it returned {'None' if returned is None else f'a {type(returned).__name__}'}; it must"
            " return the network that it trained"
        )
    found = unwrapped(returned).state_dict()
    other = next((key for key in [*wanted, *found] if _shape(found, key) != _shape(wanted, key)), None)
    if other is not None:
        raise ModelError(
            f"trainer {name}: it returned another network: tensor '{other}' has shape {_shape(found, other)}, but"
            f" {_shape(wanted, other)} in the network it was given; return that one, trained, without layers added,"
            " removed or fused"
        )
    for key, tensor in found.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise EvaluationError(
                f"trainer {name}: it returned a network whose tensor '{key}' holds NaN or infinity; lower its learning"
                " rate, or return the weights of an earlier epoch"
            )
    return found


def _shape(tensors: Mapping[str, Tensor], key: str) -> tuple[int, ...] | None:
    return tuple(tensors[key].shape) if key in tensors else None


def _numbers(name: str, values: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for key, value in values.items():
        try:
            found[str(key)] = float(value)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"trainer {name}: it told {key} {str(value)[:40]!r}, a {type(value).__name__}; tell numbers by name"
            ) from error
    return found


def _name_of(trainer: Trainer) -> str:
    return str(getattr(trainer, "__qualname__", type(trainer).__name__))
