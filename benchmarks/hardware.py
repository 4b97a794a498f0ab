"""What the machine can do at best."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F

CHANNELS, SIDE, IMAGES, REPEATS = 256, 32, 16, 7


def large_convolution(dtype: torch.dtype) -> float:
    """MAC/s of a 3x3 convolution of 256 channels on all cores, channels last: the best of several runs.

    Args:
        dtype: Its precision.
    """
    layout = torch.channels_last
    images = torch.randn(IMAGES, CHANNELS, SIDE, SIDE).to(dtype, memory_format=layout)
    weight = torch.randn(CHANNELS, CHANNELS, 3, 3).to(dtype, memory_format=layout)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(REPEATS):
            started = time.perf_counter()
            F.conv2d(images, weight, padding=1)
            best = min(best, time.perf_counter() - started)
    return IMAGES * SIDE * SIDE * CHANNELS * CHANNELS * 9 / best
