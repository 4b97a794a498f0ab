"""What a device's kernels do: whether bfloat16 is native to them, and sums in the same order every time."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16, and the library that would use them may.

    Elsewhere it is emulated, and slower than float32.

    Args:
        device: Where networks run.

    Returns:
        True on GPUs and CPUs that multiply it natively (AVX512-BF16 or AMX, unless ONEDNN_MAX_CPU_ISA forbids them).
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _has_instructions() and _onednn_uses_them()


def _has_instructions() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _onednn_uses_them() -> bool:
    """Whether they are within what ONEDNN_MAX_CPU_ISA allows; it is oneDNN that multiplies."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@contextmanager
def repeatable_kernels() -> Iterator[None]:
    """On a GPU, gradients of convolutions summed in the same order every time; outside, the caller's settings."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic = True
    cudnn.benchmark = False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before
