"""The labels of a data set, if possible without reading its images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from eagleeye.data.images import Labels
from eagleeye.errors import DataError
from eagleeye.references import described

_ATTRIBUTES = ("targets", "labels", "_labels", "y")
"""Where data sets keep their labels."""
_SPOT_CHECKS = 8


def numbers(value: Any) -> Labels | None:
    """Labels from a tensor, an array or a list of whole numbers; None if it is nothing of these."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        return None
    return array.astype(np.int64) if array.ndim == 1 and np.issubdtype(array.dtype, np.integer) else None


def checked(labels: Labels, count: int, name: str) -> Labels:
    """Labels, if there are as many as images and they are class numbers.

    Args:
        labels: int64 (n,).
        count: Number of images.
        name: What to call the images.

    Raises:
        DataError: They are not.
    """
    if len(labels) != count:
        raise DataError(f"{name}: {count} images, but {len(labels)} labels; needed is one for each")
    if labels.min() < 0:
        row = int(np.argmin(labels))
        raise DataError(f"{name}: image {row} has label {labels[row]}; classes are counted from 0")
    return labels


def look_at(dataset: Any, row: int, name: str) -> tuple[Any, Any]:
    """The image of an item, and its target; None if it has none.

    Args:
        dataset: A map-style data set.
        row: Number of the item.
        name: What to call the images.

    Raises:
        DataError: The item cannot be read, or is neither an image nor a pair.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            item = dataset[row]
    except Exception as error:
        raise DataError(f"{name}: reading item {row} failed: {described(error)}") from error
    if not isinstance(item, tuple | list):
        return item, None
    if len(item) == 1:
        return item[0], None
    if len(item) != 2:
        raise DataError(f"{name}: item {row} has {len(item)} entries; needed is an image or a pair (image, label)")
    return item[0], item[1]


def labels_in(dataset: Any, name: str) -> Labels:
    """The labels of a data set of pairs: those it keeps in a list, where that agrees with its items, or its items'.

    Args:
        dataset: A map-style data set.
        name: What to call the images.

    Raises:
        DataError: An item cannot be read, or its label is no whole number.
    """
    known = _kept(dataset)
    count = len(dataset)
    rows = sorted({int(row) for row in np.linspace(0, count - 1, _SPOT_CHECKS)})
    if known is not None and len(known) == count and all(_label_at(dataset, row, name) == known[row] for row in rows):
        return known
    return np.array([_label_at(dataset, row, name) for row in range(count)], dtype=np.int64)


def _label_at(dataset: Any, row: int, name: str) -> int:
    return _label(look_at(dataset, row, name)[1], row, name)


def _kept(dataset: Any) -> Labels | None:
    if isinstance(dataset, Subset):
        inner = _kept(dataset.dataset)
        return None if inner is None else inner[np.asarray(dataset.indices, dtype=np.int64)]
    if isinstance(dataset, ConcatDataset):
        parts = [labels for part in dataset.datasets if (labels := _kept(part)) is not None]
        return np.concatenate(parts) if len(parts) == len(dataset.datasets) else None
    if isinstance(dataset, TensorDataset):
        return numbers(dataset.tensors[1]) if len(dataset.tensors) == 2 else None
    found = (numbers(getattr(dataset, name, None)) for name in _ATTRIBUTES)
    return next((labels for labels in found if labels is not None), None)


def _label(value: Any, row: int, name: str) -> int:
    try:
        if int(value) == value:
            return int(value)
    except (TypeError, ValueError, RuntimeError):
        pass
    raise DataError(f"{name}: the label of item {row} is {value!r:.80}; needed is one whole number, the class")
