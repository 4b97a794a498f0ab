"""Interpolation and prediction against times that are known by formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eagleeye.latency.table import Grid, LatencyTable, LatencyTerm, read, write

KEY = {"device": "a processor", "threads": 1, "batch": [1, 3, 8, 8]}


def table() -> LatencyTable:
    """Two layers, one after the other: 4 -> 10 channels of group 0, then 10 -> 6 of group 1, over 5 positions."""
    first = Grid(np.array([2.0, 10.0]), np.array([4.0]), np.array([[1.0], [5.0]]))
    rows, columns = np.array([1.0, 3.0, 6.0]), np.array([2.0, 10.0])
    second = Grid(rows, columns, rows[:, None] * columns[None, :])
    calls = (
        LatencyTerm(0, np.array([10.0, 4.0]), np.array([[1.0, 0.0], [0.0, 0.0]]), 0, 5.0),
        LatencyTerm(1, np.array([6.0, 10.0]), np.array([[0.0, 1.0], [1.0, 0.0]]), 0, 5.0),
    )
    return LatencyTable(KEY, (10, 6), (first, second), calls, (0.5, 2.0, 0.01))


def test_a_product_is_interpolated_exactly_within_the_grid() -> None:
    widths = np.array([[10, 6], [6, 4], [2, 1], [7, 3]])
    layers = [w / 2 + w * v for w, v in widths.tolist()]
    elements = [5 * (w + v) for w, v in widths.tolist()]
    found = table().features(widths)
    assert (found[0].tolist(), found[1].tolist()) == (pytest.approx(layers), pytest.approx(elements))
    expected = [0.5 + 2 * t + 0.01 * n for t, n in zip(layers, elements, strict=True)]
    assert table().predict(widths).tolist() == pytest.approx(expected)


def test_outside_the_grid_its_end_counts() -> None:
    grid = Grid(np.array([2.0, 4.0]), np.array([3.0]), np.array([[1.0], [7.0]]))
    assert grid.at(np.array([0.0, 2.0, 3.0, 9.0]), np.full(4, 3.0)).tolist() == [1, 1, 4, 7]


def test_a_file_gives_back_the_same_predictions_and_only_for_its_key(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "latency.json"
    write(table(), path)
    found = read(path, dict(KEY))
    assert found is not None
    grids, coefficients = found
    again = LatencyTable(KEY, (10, 6), grids, table().calls, coefficients)
    widths = np.array([[9, 5], [3, 2]])
    assert again.predict(widths).tolist() == table().predict(widths).tolist()
    assert read(path, {**KEY, "threads": 2}) is None


@pytest.mark.parametrize("content", [None, "", "{}", '{"key": 1', '{"key": {"device": "a processor"}, "grids": 3}'])
def test_missing_and_damaged_files_hold_nothing(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "latency.json"
    if content is not None:
        path.write_text(content)
    assert read(path, {"device": "a processor"}) is None
