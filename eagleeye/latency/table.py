"""Latency predicted from tables of single layers: a number for every width vector without building its network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eagleeye.files import written_whole

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Grid:
    """Milliseconds of one layer at a grid of sizes of its weight."""

    rows: Array
    """Sizes of the weight's first axis, ascending, shape (R,)."""
    columns: Array
    """Sizes of its second axis, ascending, shape (C,)."""
    milliseconds: Array
    """Shape (R, C)."""

    def at(self, rows: Array, columns: Array) -> Array:
        """Interpolate between the four neighbours.

        Args:
            rows: Sizes of the first axis, shape (B,); outside the grid the nearest end counts.
            columns: Sizes of the second axis, shape (B,).

        Returns:
            Milliseconds, shape (B,).
        """
        above, down = _place(self.rows, rows)
        left, right = _place(self.columns, columns)
        above_next = np.minimum(above + 1, len(self.rows) - 1)
        left_next = np.minimum(left + 1, len(self.columns) - 1)
        table = self.milliseconds
        upper = table[above, left] * (1 - right) + table[above, left_next] * right
        lower = table[above_next, left] * (1 - right) + table[above_next, left_next] * right
        result: Array = upper * (1 - down) + lower * down
        return result


def _place(grid: Array, sizes: Array) -> tuple[npt.NDArray[np.int64], Array]:
    """The grid point at or before each size, and the way from it to the next as a share."""
    place = np.interp(sizes, grid, np.arange(len(grid), dtype=np.float64))
    before = np.floor(place).astype(np.int64)
    return before, place - before


@dataclass(frozen=True, eq=False)
class LatencyTerm:
    """What one call of a layer adds to the forward pass, and how its weight follows the widths."""

    grid: int
    """Which grid holds its times; layers of equal shape and input share one."""
    full: Array
    """Sizes of the weight's first two axes in the full network, shape (2,)."""
    counts: Array
    """What one channel of each group takes from them, shape (2, G)."""
    axis: int
    """Which of the two holds the output's channels."""
    channel_elements: float
    """Elements of the output in one of its channels, for the whole batch."""


@dataclass(frozen=True, eq=False)
class LatencyTable:
    """Predicts the latency of thin networks.

    The prediction is base + factor x (sum of the layers' times) + rest x (elements that the layers write): what lies
    between the layers that multiply (normalisation, activations, sums) takes time by element, and layers in their
    places in a network are not as fast as alone. The three coefficients come from a few whole thin networks.
    """

    key: dict[str, Any]
    """What the times hold for: device, versions, threads, batch, network."""
    channels: tuple[int, ...]
    grids: tuple[Grid, ...]
    calls: tuple[LatencyTerm, ...]
    coefficients: tuple[float, float, float]
    """Milliseconds in all, per millisecond of the layers alone, per element that they write; none is negative."""

    def predict(self, widths: npt.NDArray[np.int64]) -> Array:
        """Milliseconds of one batch for every thin network.

        Args:
            widths: Channels left per group, shape (B, G).

        Returns:
            Shape (B,).
        """
        base, factor, rest = self.coefficients
        layers, elements = self.features(widths)
        result: Array = base + factor * layers + rest * elements
        return result

    def features(self, widths: npt.NDArray[np.int64]) -> tuple[Array, Array]:
        """What latency is predicted from.

        Args:
            widths: Channels left per group, shape (B, G).

        Returns:
            The sum of the layers' times, and the number of elements they write, both of shape (B,).
        """
        removed = (np.asarray(self.channels) - widths).astype(np.float64)
        layers = np.zeros(len(widths))
        elements = np.zeros(len(widths))
        for call in self.calls:
            sizes = call.full[:, None] - call.counts @ removed.T
            layers += self.grids[call.grid].at(sizes[0], sizes[1])
            elements += call.channel_elements * sizes[call.axis]
        return layers, elements


def write(table: LatencyTable, path: Path) -> None:
    """Keep a table's measurements in a file.

    Args:
        table: The table.
        path: JSON file to write.

    Raises:
        ArtifactError: It cannot be written.
    """
    grids = [{name: value.tolist() for name, value in vars(grid).items()} for grid in table.grids]
    text = json.dumps({"key": table.key, "grids": grids, "coefficients": table.coefficients}, indent=1)
    with written_whole(path) as temporary:
        temporary.write_text(text)


def read(path: Path, key: dict[str, Any]) -> tuple[tuple[Grid, ...], tuple[float, float, float]] | None:
    """Measurements from a file, if it holds those wanted.

    Args:
        path: From `write`.
        key: What they must hold for.

    Returns:
        Grids and coefficients; None where the file is missing, damaged or for something else.
    """
    try:
        content = json.loads(path.read_text())
        if content["key"] != key:
            return None
        base, factor, rest = content["coefficients"]
        return tuple(_grid(entry) for entry in content["grids"]), (base, factor, rest)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _grid(entry: dict[str, Sequence[float]]) -> Grid:
    return Grid(*(np.asarray(entry[name], dtype=np.float64) for name in ("rows", "columns", "milliseconds")))
