"""Which precision the arithmetic takes: 16 bits where the hardware multiplies them natively."""

from __future__ import annotations

import torch

from eagleeye.errors import ConfigError

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
    if name == "float32" or (name == "auto" and not _is_native(torch.device(device))):
        return torch.float32
    return torch.bfloat16


def _is_native(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Without such instructions bfloat16 is emulated, and slower than float32.
    return device.type == "cpu" and _has_instructions() and _onednn_uses_them()


def _has_instructions() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _onednn_uses_them() -> bool:
    """Whether they are within what ONEDNN_MAX_CPU_ISA allows; it is oneDNN that multiplies."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
