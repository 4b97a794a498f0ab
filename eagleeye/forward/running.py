"""Run a network on what its user gives; where it cannot, say why in a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from eagleeye.errors import EvaluationError
from eagleeye.forward.inputs import Inputs, call, precision_of, to_precision
from eagleeye.forward.structures import tensors

_FULL = r"allocate memory|could not (create|execute) a (primitive|memory object)(?! descriptor)"
"""How PyTorch's allocator and oneDNN tell that memory is short; a descriptor is refused for other reasons."""


def run(network: nn.Module, inputs: Inputs) -> Any:
    """Call a network with a batch, brought to the precision of its weights.

    Args:
        network: Any network.
        inputs: As in `eagleeye.forward.inputs`.

    Returns:
        Its outputs.

    Raises:
        EvaluationError: It does not take such inputs.
    """
    # Under autocast weights of several precisions are meant to meet.
    given = inputs if _autocasts(inputs) else to_precision(inputs, precision_of(network))
    with explained(network, inputs):
        return call(network, given)


@contextmanager
def explained(network: nn.Module, inputs: Inputs) -> Iterator[None]:
    """Say in a line why a network cannot run.

    Args:
        network: The network.
        inputs: What it is run on.

    Raises:
        EvaluationError: It does not take such inputs.
    """
    try:
        yield
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
        if is_full(error):
            raise
        said = str(error).strip() or type(error).__name__
        raise EvaluationError(
            f"network {type(network).__name__}: it cannot run on a batch of {shapes_of(inputs)}: {said.splitlines()[0]}"
            f"{_way_out(said)}"
        ) from error


def images_in(inputs: Inputs) -> int:
    """The images in a batch: the length of its first tensor.

    Args:
        inputs: As in `eagleeye.forward.inputs`, batch first.

    Raises:
        EvaluationError: It holds no tensor that has a length.
    """
    found = tensors(inputs)
    if not found or not found[0].dim():
        raise EvaluationError(f"batch: a {type(inputs).__name__} without images; give tensors, batch first")
    return len(found[0])


def shapes_of(inputs: Inputs) -> str:
    """The shapes of the tensors in a network's inputs, for messages."""
    return ", ".join(str(tuple(tensor.shape)) for tensor in tensors(inputs)) or type(inputs).__name__


def is_full(error: Exception) -> bool:
    """Whether an error says that the device's memory is full; a CPU's allocator has no type of its own for that."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and re.search(_FULL, str(error)) is not None


def _way_out(said: str) -> str:
    return "; use larger batches or more images" if "more than 1 value per channel" in said else ""


def _autocasts(inputs: Inputs) -> bool:
    return any(torch.is_autocast_enabled(tensor.device.type) for tensor in tensors(inputs)[:1])
