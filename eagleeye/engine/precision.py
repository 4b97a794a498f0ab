"""Which precision the arithmetic takes: 16 bits where the hardware multiplies them natively."""

from __future__ import annotations

import torch

from eagleeye.errors import ConfigError
from eagleeye.kernels import multiplies_bfloat16

PRECISIONS = ("auto", "float32", "bfloat16")


def choose_precision(name: str, device: torch.device | str, own: torch.dtype = torch.float32) -> torch.dtype:
    """The precision that a setting names.

    Args:
        name: `float32`, `bfloat16`, or `auto`: bfloat16 where the device multiplies it natively.
        device: Where the networks run.
        own: The precision of the network's weights; one that is not float32 is kept.

    Returns:
        `torch.float32`, `torch.bfloat16` or the network's own.

    Raises:
        ConfigError: Unknown name, or another precision than that of a network that is not float32.
    """
    if name not in PRECISIONS:
        raise ConfigError(f"precision: '{name}' is unknown; allowed are {', '.join(PRECISIONS)}")
    if own != torch.float32:
        if name not in ("auto", kind := str(own).removeprefix("torch.")):
            raise ConfigError(f"precision: '{name}', but the network's weights are {kind}: leave 'auto', or convert it")
        return own
    if name == "float32" or (name == "auto" and not multiplies_bfloat16(torch.device(device))):
        return torch.float32
    return torch.bfloat16
