"""A data set of one's own whose items are inputs as the network takes them: signals, volumes, prepared pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eagleeye.data.boxes import encoded_boxes
from eagleeye.data.images import Labels, check_labels, numbered_classes
from eagleeye.data.pictures import item_of, labels_of
from eagleeye.data.targets import BOXES, NUMBERS, encoded_numbers
from eagleeye.errors import DataError


class Samples:
    """Inputs by number, with a class each.

    Attributes:
        dataset: The data set.
        classes: Names of the classes, by label; none where targets are no classes.
        labels: int64 (N,), zeros where targets are no classes.
        labelled: Whether items come with targets.
    """

    classes: tuple[str, ...]
    labels: Labels

    def __init__(self, dataset: Any, name: str, labels: Labels, classes: tuple[str, ...], labelled: bool) -> None:
        self.dataset = dataset
        self.name = name
        self.labels = labels
        self.classes = classes
        self.labelled = labelled

    def __len__(self) -> int:
        return len(self.labels)

    def encoded(self, row: int) -> bytes:
        """The input of a row as a NumPy file of float32."""
        found = _numbers(_parts(self.dataset, row, self.name)[0], f"{self.name}: the input of row {row}")
        return encoded_numbers(found.astype(np.float32))


class TargetedSamples(Samples):
    """Inputs by number, with numbers or a mask each."""

    target_kind = NUMBERS

    def encoded_target(self, row: int) -> bytes:
        """The target of a row as a NumPy file."""
        target = _parts(self.dataset, row, self.name)[1]
        found = _numbers(target, f"{self.name}: the target of row {row}")
        # Masks of classes, an eighth as large: `eagleeye.data.targets.usable` gives them back.
        is_mask = found.ndim > 1 and found.dtype.kind in "iu" and found.min() >= 0 and found.max() <= np.iinfo("u1").max
        return encoded_numbers(found.astype(np.uint8) if is_mask else found)


class BoxedSamples(Samples):
    """Inputs by number, with boxes and labels each."""

    target_kind = BOXES

    def encoded_target(self, row: int) -> bytes:
        """The boxes of a row as a safetensors file."""
        target = _parts(self.dataset, row, self.name)[1]
        name = f"{self.name}: the target of row {row}"
        if not isinstance(target, Mapping) or not {"boxes", "labels"} <= target.keys():
            raise DataError(f"{name} is a {type(target).__name__}; needed is a dict with boxes and labels")
        boxes, labels = (_numbers(target[key], f"{name}, {key}") for key in ("boxes", "labels"))
        if boxes.shape != (len(labels), 4) or labels.ndim != 1 or (len(labels) and labels.dtype.kind not in "iu"):
            raise DataError(
                f"{name} has boxes {boxes.dtype} {boxes.shape} and labels {labels.dtype} {labels.shape}; needed are"
                " boxes (k, 4), x0, y0, x1, y1 in pixels, and labels (k,), whole numbers"
            )
        return encoded_boxes(torch.from_numpy(boxes), torch.from_numpy(labels))


def holds_inputs(dataset: Any, name: str) -> bool:
    """Whether a data set's items are inputs as the network takes them, and no pictures."""
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__") or not len(dataset):
        return False
    found = _parts(dataset, 0, name)[0]
    return isinstance(found, Tensor) and found.is_floating_point()


def open_samples(train: Any, test: Any, name: str) -> tuple[Samples, Samples]:
    """See a training and a test set of inputs, or of pairs (input, target), as sets of images are seen.

    Args:
        train: The training set; an input is a float tensor (channels, …), a target a whole number (a class), or
            numbers of any shape, a dict of boxes and labels, or there is none.
        test: The test set.
        name: What to call the source in errors.

    Raises:
        DataError: Items are not what they should be, or the sets' targets are of two kinds.
    """
    kinds = [_kind(part, f"{name}, {side} set") for part, side in ((train, "training"), (test, "test"))]
    if kinds[0] != kinds[1]:
        raise DataError(f"{name}: the training set comes with {kinds[0]}, the test set with {kinds[1]}; needed is one")
    if kinds[0] != _CLASSES:
        made = {_NOTHING: Samples, _BOXES: BoxedSamples}.get(kinds[0], TargetedSamples)
        first, second = (
            made(part, name, np.zeros(len(part), np.int64), (), kinds[0] != _NOTHING) for part in (train, test)
        )
        return first, second
    labels = [labels_of(part, name) for part in (train, test)]
    classes = max((numbered_classes(part, name) for part in labels), key=len)
    first, second = (
        Samples(part, name, check_labels(found, classes, name), classes, True)
        for part, found in zip((train, test), labels, strict=True)
    )
    return first, second


_CLASSES = "a class for each input"
_NUMBERS = "numbers for each input"
_BOXES = "boxes for each input"
_NOTHING = "no targets"


def _kind(dataset: Any, name: str) -> str:
    if not holds_inputs(dataset, name):
        raise DataError(f"{name}: its items are no float tensors, but those of the other set are; give one kind")
    target = _parts(dataset, 0, name)[1]
    if target is None:
        return _NOTHING
    if isinstance(target, Mapping):
        return _BOXES
    found = np.asarray(target)
    return _CLASSES if found.ndim == 0 and np.issubdtype(found.dtype, np.integer) else _NUMBERS


def _parts(dataset: Any, row: int, name: str) -> tuple[Any, Any]:
    """The input and the target of an item, None where it has none."""
    found = item_of(dataset, row, name)
    if isinstance(found, tuple | list):
        if len(found) == 2:
            return found[0], found[1]
        raise DataError(f"{name}: row {row} has {len(found)} parts; needed is an input, or a pair (input, target)")
    return found, None


def _numbers(value: Any, name: str) -> np.ndarray:
    try:
        found = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError) as cause:
        raise DataError(f"{name} is a {type(value).__name__}; needed is a tensor or numbers") from cause
    if found.dtype == np.float64:
        found = found.astype(np.float32)
    if found.dtype.kind not in "fiub":
        raise DataError(f"{name} is a {type(value).__name__}; needed is a tensor or numbers")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise DataError(f"{name} holds NaN or infinite values; repair it or leave it out")
    return found
