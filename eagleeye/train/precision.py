"""Mixed precision where it pays: the type a device multiplies fast, and the layers that keep out of it."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from eagleeye.forward.kernels import multiplies_bfloat16
from eagleeye.torch_layers import CONVOLUTIONS


def autocast_type(device: torch.device) -> torch.dtype | None:
    """The 16-bit type that pays on a device; None where it would have to be emulated.

    Args:
        device: Where the network trains.

    Returns:
        bfloat16 on GPUs and CPUs that multiply it (see `multiplies_bfloat16`), float16 on other GPUs, None on other
        CPUs.
    """
    if multiplies_bfloat16(device):
        return torch.bfloat16
    return torch.float16 if device.type == "cuda" else None


def spare_slow_layers(model: nn.Module, device: torch.device) -> list[RemovableHandle]:
    """Let some layers compute in float32 under autocast: those that are slower in bfloat16.

    On CPUs these are depthwise convolutions with a stride or a kernel above 3. Their gradient has no fast kernel in
    bfloat16 and takes up to ten times as long as in float32, more than all other layers gain.

    Args:
        model: The network.
        device: Where it trains; nothing is done unless it is a CPU.

    Returns:
        The hooks; to be removed after training.
    """
    if device.type != "cpu":
        return []
    return [hook for module in model.modules() if _is_slow(module) for hook in _kept_exact(module)]


def _is_slow(module: nn.Module) -> bool:
    if not isinstance(module, CONVOLUTIONS) or not module.groups == module.in_channels > 1:
        return False
    return max(module.stride) > 1 or max(module.kernel_size) > 3


def _kept_exact(module: nn.Module) -> list[RemovableHandle]:
    off: AbstractContextManager[object] = torch.autocast("cpu", enabled=False)

    def enter(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        off.__enter__()
        return tuple(value.float() for value in inputs)

    def leave(_module: nn.Module, _inputs: object, _output: object) -> None:
        off.__exit__(None, None, None)

    # Also after an error in between: autocast would otherwise stay off for the whole thread.
    return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave, always_call=True)]
