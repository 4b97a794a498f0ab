"""Measure the tables that latency is predicted from, and how far predictions are from whole networks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from eagleeye.channels.core import apart, core_inputs
from eagleeye.channels.plain import plain
from eagleeye.channels.space import Space
from eagleeye.errors import ConfigError
from eagleeye.forward.inputs import bind
from eagleeye.latency.layers import POINTS, shapes_of, time_grids
from eagleeye.latency.measure import device_name, device_of, interleaved
from eagleeye.latency.table import Array, LatencyTable, read, write
from eagleeye.prune import prune
from eagleeye.strategies.strategy import Strategy

_WHOLE = 10
"""Whole thin networks that the table's coefficients are fitted to."""
_MOST = 0.8
"""Largest rate in them."""


def profile(
    model: nn.Module, space: Space, example_input: Tensor, *, path: Path | None = None, repeats: int = 15
) -> LatencyTable:
    """Measure a network's layers on the device it is on, once: the table predicts the latency of all thin networks.

    Every convolution and linear layer is timed alone at a grid of sizes, in turns with the others; then a few whole
    thin networks, to which the prediction's three coefficients are fitted. `compare` says how good it is: on one core,
    for ten or twelve other thin networks, errors were 2 to 3 % on average and at most 8 % (ResNet-20, ResNet-56,
    ResNet-18 at 224 pixels), 5 % and at most 18 % (MobileNetV2). Programs beside it falsify the times of both.

    Args:
        model: The full network, on the device to measure.
        space: Its search space.
        example_input: The batch to time (n, C, H, W).
        path: A file to keep the measurements in. They are read from it if device, torch version, threads, batch and
            network are the same; otherwise it is written anew.
        repeats: Timed rounds.

    Returns:
        The table; where the space has a core, of that alone.

    Raises:
        ConfigError: The core takes more than a tensor.
        ArtifactError: The file cannot be written.
    """
    model, space, example_input = _core(model, space, example_input)
    model = plain(model)
    example = example_input.to(device_of(model))
    key = _key(model, space, example)
    shapes, calls = shapes_of(model, space, example)
    known = read(path, key) if path is not None else None
    if known is not None:
        return LatencyTable(key, space.channels, known[0], calls, known[1])
    alone = LatencyTable(key, space.channels, time_grids(shapes, repeats), calls, (0.0, 1.0, 0.0))
    table = replace(alone, coefficients=_fit(alone, model, space, example, repeats))
    if path is not None:
        write(table, path)
    return table


def compare(
    table: LatencyTable,
    model: nn.Module,
    space: Space,
    example_input: Tensor,
    strategies: Sequence[Strategy],
    *,
    repeats: int = 15,
) -> pd.DataFrame:
    """Hold predictions against whole thin networks, timed in turns.

    Args:
        table: From `profile`.
        model: The full network, on the device that the table was measured on.
        space: Its search space.
        example_input: The batch that the table was measured with.
        strategies: Which thin networks to build; all are in memory at once.
        repeats: Timed rounds.

    Returns:
        One row per strategy: id, predicted_ms, measured_ms (the fastest round), error (predicted / measured - 1).
    """
    model, space, example_input = _core(model, space, example_input)
    predicted = table.predict(np.array([strategy.widths for strategy in strategies], dtype=np.int64))
    networks = {strategy.id: prune(model, space, strategy) for strategy in strategies}
    measured = _fastest(networks, example_input.to(device_of(model)), repeats)
    ids = [strategy.id for strategy in strategies]
    return pd.DataFrame(
        {"id": ids, "predicted_ms": predicted, "measured_ms": measured, "error": predicted / measured - 1}
    )


def _core(model: nn.Module, space: Space, example: Tensor) -> tuple[nn.Module, Space, Tensor]:
    """What is timed: the network, or its core by itself."""
    if not space.core:
        return model, space, example
    reached = bind(model, core_inputs(model, space.core, example.to(device_of(model))))
    if len(reached.args) != 1 or reached.kwargs or not isinstance(reached.args[0], Tensor):
        raise ConfigError(
            f"latency: core {space.core!r} takes more than a tensor, and only layers that begin with one are timed; set"
            " a budget of MACs"
        )
    return *apart(model, space), reached.args[0]


def _fastest(networks: Mapping[str, nn.Module], example: Tensor, repeats: int) -> Array:
    """Milliseconds of every network in its fastest round: what disturbs a busy machine only adds."""
    times = interleaved(networks, example, repeats, warmup=3)
    return np.array([values.min() for values in times.values()])


def _fit(
    alone: LatencyTable, model: nn.Module, space: Space, example: Tensor, repeats: int
) -> tuple[float, float, float]:
    """Coefficients with the least relative errors on whole thin networks, from the full one to a very thin one."""
    rng = np.random.default_rng(0)
    rates = np.linspace(0, _MOST, _WHOLE)[:, None] * rng.uniform(0.5, 1, size=(_WHOLE, len(space.groups)))
    networks = {str(row): prune(model, space, vector) for row, vector in enumerate(rates.tolist())}
    measured = _fastest(networks, example, repeats)
    features = np.stack([np.ones(_WHOLE), *alone.features(space.widths(rates))], axis=1)
    from sklearn.linear_model import LinearRegression

    fit = LinearRegression(fit_intercept=False, positive=True).fit(features / measured[:, None], np.ones(_WHOLE))
    base, factor, rest = (float(value) for value in fit.coef_)
    return base, factor, rest


def _key(model: nn.Module, space: Space, example: Tensor) -> dict[str, Any]:
    shapes = sorted((name, tuple(shape)) for name, shape in space.shapes.items())
    network = hashlib.sha256(f"{shapes}{space.graph}{space.groups}".encode()).hexdigest()
    return {
        "device": device_name(device_of(model)),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "batch": list(example.shape),
        "type": str(example.dtype),
        "network": network,
        "points": POINTS,
    }
