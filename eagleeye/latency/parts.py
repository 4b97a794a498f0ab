"""Where the time of a forward pass goes: the layers that lost channels, those that lost nothing, and all the rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from eagleeye.forward.modes import evaluating
from eagleeye.latency.layers import Seen, calls_in
from eagleeye.latency.measure import device_of, milliseconds

PART_COLUMNS = ["batch_size", "part", "layers", "full_macs", "pruned_macs", "full_ms", "pruned_ms"]
LIGHTER = "lighter"
UNCHANGED = "unchanged"
DEPTHWISE = "depthwise"
REST = "rest"


def time_parts(
    full: nn.Module, pruned: nn.Module, example_input: Tensor, *, batch_sizes: tuple[int, ...] = (1,), repeats: int = 15
) -> pd.DataFrame:
    """Divide the forward passes of a network and of its pruned version into parts, timed in turns, in inference mode.

    A GPU works behind the clock's back: to time a layer there is to wait for it, which is what a pass avoids. Nothing
    is measured on one.

    Args:
        full: The full network, its layers named as the pruned one's: `prune` with rates of 0.
        pruned: The pruned network, on the same device.
        example_input: A batch (n, C, H, W); its first image is repeated to each batch size.
        batch_sizes: Batch sizes to measure.
        repeats: Timed passes of each network and batch size; medians count.

    Returns:
        One row per batch size and part: batch_size, part, layers (their number), full_macs and pruned_macs of one
        image, full_ms and pruned_ms of the batch. Parts are ``depthwise`` (convolutions of one channel each),
        ``unchanged`` (other convolutions and linear layers whose weights kept their size), ``lighter`` (those that lost
        channels) and ``rest``: all that is no convolution and no linear layer, and the way from one to the next. Empty
        on a GPU.
    """
    if device_of(pruned).type != "cpu":
        return pd.DataFrame(columns=PART_COLUMNS)
    networks = {"full": full, "pruned": pruned}
    calls = {name: calls_in(network, example_input[:1]) for name, network in networks.items()}
    parts = _parts(calls["full"], calls["pruned"])
    layers = Counter(parts.values())
    macs = {name: _macs(seen, parts) for name, seen in calls.items()}
    rows = []
    for size in batch_sizes:
        batch = example_input[:1].expand(size, *example_input.shape[1:]).contiguous()
        times = _times(networks, batch, parts, repeats)
        for part in (LIGHTER, UNCHANGED, DEPTHWISE, REST):
            if layers[part] or part == REST:
                costs = [macs[name][part] for name in networks]
                rows.append((size, part, layers[part], *costs, *(times[name][part] for name in networks)))
    return pd.DataFrame(rows, columns=PART_COLUMNS)


def _parts(full: list[Seen], pruned: list[Seen]) -> dict[str, str]:
    """The part that every layer belongs to, by its name."""
    before = {call.name: call.layer.weight.shape for call in full}
    return {call.name: _part(call, before.get(call.name)) for call in pruned}


def _part(call: Seen, before: torch.Size | None) -> str:
    if getattr(call.layer, "groups", 1) == call.layer.weight.shape[0] > 1:
        return DEPTHWISE
    return UNCHANGED if call.layer.weight.shape == before else LIGHTER


def _macs(calls: list[Seen], parts: Mapping[str, str]) -> Counter[str]:
    macs: Counter[str] = Counter()
    for call in calls:
        # Every weight is used once for each position: of the input, where the layer spreads it out.
        if getattr(call.layer, "transposed", False):
            positions = call.inputs.numel() // call.inputs[1]
        else:
            channels = call.outputs[-1 if isinstance(call.layer, nn.Linear) else 1]
            positions = call.outputs.numel() // channels
        macs[parts.get(call.name, REST)] += call.layer.weight.numel() * positions
    return macs


def _times(
    networks: Mapping[str, nn.Module], batch: Tensor, parts: Mapping[str, str], repeats: int
) -> dict[str, dict[str, float]]:
    """Milliseconds of every network's parts, medians over the passes."""
    passes: dict[str, list[dict[str, float]]] = {name: [] for name in networks}
    for repeat in range(-3, repeats):
        for name, network in networks.items():
            with evaluating(network), torch.inference_mode():
                # Clocks take time themselves: the whole is timed without them.
                total = milliseconds(network, batch)
                with _watched(network, parts) as spent:
                    network(batch)
            if repeat >= 0:
                passes[name].append({**spent, REST: max(0.0, total - sum(spent.values()))})
    return {
        name: {part: float(np.median([each[part] for each in rows])) for part in rows[0]}
        for name, rows in passes.items()
    }


@contextmanager
def _watched(network: nn.Module, parts: Mapping[str, str]) -> Iterator[dict[str, float]]:
    """Milliseconds spent in the layers of each part, while they run."""
    spent = dict.fromkeys(parts.values(), 0.0)
    started: dict[str, float] = {}
    hooks = []
    for name, part in parts.items():
        layer = network.get_submodule(name)

        def begin(_layer: nn.Module, _inputs: object, name: str = name) -> None:
            started[name] = time.perf_counter()

        def end(_layer: nn.Module, _inputs: object, _output: object, name: str = name, part: str = part) -> None:
            spent[part] += 1000 * (time.perf_counter() - started[name])

        hooks += [layer.register_forward_pre_hook(begin), layer.register_forward_hook(end)]
    try:
        yield spent
    finally:
        for hook in hooks:
            hook.remove()
