"""Measured latency: fewer MACs are not always faster, so time a forward pass on the machine at hand."""

import platform
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from eagleeye.forward.modes import evaluating

LATENCY_COLUMNS = [
    "model",
    "batch_size",
    "median_ms",
    "p10_ms",
    "p90_ms",
    "images_per_second",
    "speedup",
    "device",
    "threads",
]


@dataclass(frozen=True)
class Latency:
    """Time of one forward pass of one batch.

    Attributes:
        median_ms: Median over the repeats, in milliseconds.
        p10_ms: 10th percentile, in milliseconds.
        p90_ms: 90th percentile, in milliseconds.
        device: Where it was measured: the model of the GPU or processor.
        threads: CPU threads that PyTorch used.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    device: str
    threads: int


def measure_latency(model: nn.Module, example_input: torch.Tensor, *, repeats: int = 50, warmup: int = 5) -> Latency:
    """Time the forward pass of one batch, in inference mode; the network is left as it was.

    Args:
        model: Network on the device to measure.
        example_input: Batch (n, C, H, W); moved to the network's device before the clock starts.
        repeats: Timed passes, at least 1.
        warmup: Passes before the clock starts.

    Returns:
        Median and percentiles.
    """
    times = interleaved({"model": model}, example_input, repeats, warmup)["model"]
    p10, median, p90 = (float(value) for value in np.percentile(times, [10, 50, 90]))
    return Latency(median, p10, p90, device_name(device_of(model)), torch.get_num_threads())


def compare_latency(
    models: Mapping[str, nn.Module],
    example_input: torch.Tensor,
    *,
    batch_sizes: tuple[int, ...] = (1, 32),
    repeats: int = 50,
    warmup: int = 5,
) -> pd.DataFrame:
    """Time several networks in turns, so that a busy moment of the machine falls on all of them alike.

    Args:
        models: Networks by name; the first one is what the others are compared with.
        example_input: Batch (n, C, H, W), n at least 1; its first image is repeated to each batch size.
        batch_sizes: Batch sizes to measure.
        repeats: Timed passes of each network and batch size, at least 1.
        warmup: Passes of each before the clock starts.

    Returns:
        One row per batch size and network: model, batch_size, median_ms, p10_ms, p90_ms, images_per_second,
        speedup (median over the rounds of first network's time / this network's time), device, threads.
    """
    first = next(iter(models))
    rows = []
    for size in batch_sizes:
        batch = example_input[:1].expand(size, *example_input.shape[1:]).contiguous()
        times = interleaved(models, batch, repeats, warmup)
        for name, model in models.items():
            p10, median, p90 = np.percentile(times[name], [10, 50, 90])
            speedup = float(np.median(times[first] / times[name]))
            device = device_name(device_of(model))
            rows.append((name, size, median, p10, p90, 1000 * size / median, speedup, device, torch.get_num_threads()))
    return pd.DataFrame(rows, columns=LATENCY_COLUMNS)


def interleaved(
    models: Mapping[str, nn.Module], batch: torch.Tensor, repeats: int, warmup: int
) -> dict[str, np.ndarray]:
    """Time networks in turns, one pass of each per round, in inference mode; they are left as they were.

    Args:
        models: Networks, or single layers, by name.
        batch: What all of them take (n, C, H, W).
        repeats: Timed rounds.
        warmup: Rounds before the clock starts.

    Returns:
        Milliseconds of each network, shape (repeats,).
    """
    times: dict[str, list[float]] = {name: [] for name in models}
    inputs = {name: batch.to(device_of(model)) for name, model in models.items()}
    with ExitStack() as stack, torch.inference_mode():
        for model in models.values():
            stack.enter_context(evaluating(model))
        for repeat in range(-warmup, repeats):
            for name, model in models.items():
                elapsed = milliseconds(model, inputs[name])
                if repeat >= 0:
                    times[name].append(elapsed)
    return {name: np.array(values) for name, values in times.items()}


def milliseconds(model: nn.Module, batch: torch.Tensor) -> float:
    """Time one pass; a GPU works behind the clock's back, so wait for it before and after.

    Args:
        model: A network or layer.
        batch: Its input, on its device.

    Returns:
        Milliseconds.
    """
    if batch.is_cuda:
        torch.cuda.synchronize(batch.device)
    start = time.perf_counter()
    model(batch)
    if batch.is_cuda:
        torch.cuda.synchronize(batch.device)
    return 1000 * (time.perf_counter() - start)


def device_of(model: nn.Module) -> torch.device:
    """The device of a network's parameters."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def device_name(device: torch.device) -> str:
    """The model of a GPU, or of the processor; Python's own answer to the latter is often empty."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
