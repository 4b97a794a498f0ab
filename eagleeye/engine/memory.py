"""How many images go through a network at a time: what the caches hold, and less where memory runs out."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from eagleeye.forward.inputs import Inputs, positional
from eagleeye.forward.running import images_in
from eagleeye.forward.structures import tensors

LARGEST = 512
SMALLEST = 8
ALIVE = 4
"""Activations in use at a time: a layer's input and output, and the other branch of a residual block."""
CPU_CACHE = 16 * 2**20
"""Bytes of the last-level cache where the system does not say."""
GPU_SHARE = 0.1
"""Share of a GPU's memory for the activations of one candidate of several at a time."""

_MMAP_THRESHOLD = -3
_TRIM_THRESHOLD = -1
_TOP_PAD = -2
"""Numbers of glibc's parameters, from malloc.h."""

_CACHE_SIZE = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")


def choose_chunk(network: fx.GraphModule, example: Inputs, images: int | None = None) -> int:
    """Images per forward pass, so that activations stay in the cache (CPU) or well within memory (GPU).

    It follows from the network and the machine alone: kernels may round differently for another number of images, and
    a score is not to depend on how many candidates run at a time.

    Args:
        network: The largest network that is to run.
        example: A batch of its inputs (n, C, H, W) on its device, in its precision.
        images: How many images they are made of; None: their first tensor's length.

    Returns:
        A power of two between 8 and 512.
    """
    with torch.inference_mode():
        largest = _Largest(network).measure(*positional(network, example))
    per_image = max(largest / (images or images_in(example)), 1.0)
    fitting = _room(tensors(example)[0].device) / (ALIVE * per_image)
    chunk = SMALLEST
    while chunk * 2 <= min(fitting, LARGEST):
        chunk *= 2
    return chunk


def keep_freed_memory() -> None:
    """Let the C library of Linux keep the memory of freed activations for the next ones, in this whole process.

    By default it returns large blocks to the system at once, which hands them out again page by page, cleared: a tenth
    of the time of scoring small networks. The process holds on to its peak instead.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for parameter, size in ((_MMAP_THRESHOLD, 2**30), (_TRIM_THRESHOLD, 2**30), (_TOP_PAD, 2**28)):
            mallopt(parameter, size)


def _room(device: torch.device) -> float:
    if device.type == "cuda":
        return GPU_SHARE * torch.cuda.get_device_properties(device).total_memory
    return float(_cache_bytes())


def _cache_bytes() -> int:
    try:
        text = _CACHE_SIZE.read_text(encoding="ascii").strip()
        return int(text.removesuffix("K")) * 1024 if text.endswith("K") else int(text)
    except (OSError, ValueError):
        return CPU_CACHE


class _Largest(fx.Interpreter):
    """Runs a network and notes the bytes of its largest activation."""

    def measure(self, *example: Any) -> int:
        self.bytes = 0
        self.run(*example)
        return self.bytes

    def run_node(self, n: fx.Node) -> object:
        value: object = super().run_node(n)
        if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
            self.bytes = max(self.bytes, value.nbytes)
        return value
