"""Targets that are a structure of tensors for each image, e.g. its boxes, as data sets and loaders give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from eagleeye.data.images import Labels
from eagleeye.errors import DataError
from eagleeye.forward.structures import tensors


def is_listed(value: Any) -> bool:
    """Whether a value is a list of targets: mappings, one for each image."""
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(each, Mapping) for each in value)


def apart(items: list[Any]) -> tuple[tuple[Any, ...], ...]:
    """Items of a data set as loaders of detectors collate them: all images, then all targets."""
    return tuple(zip(*items, strict=True))


def collating(collate: Any) -> Any:
    """How a loader makes batches of items: as its user says, but boxes are not stacked."""
    return apart if collate is None or collate is default_collate else collate


def pair_of(batch: Any, rows: Labels) -> tuple[Tensor, list[Any]]:
    """The images and targets of a batch.

    Args:
        batch: What a loader made.
        rows: Which items of the data set it is made of.

    Returns:
        Images (n, channels, …), and a list of targets.

    Raises:
        DataError: It is something else, images are of several sizes, or targets hold NaN or infinite values.
    """
    if not isinstance(batch, list | tuple) or len(batch) != 2 or not isinstance(batch[1], list | tuple):
        raise DataError(
            f"images: {len(rows)} items of the data set make a {type(batch).__name__}; needed are images and a list"
            " with the targets of each: give the loader collate_fn=lambda items: tuple(zip(*items))"
        )
    images, targets = batch
    if len(images) != len(rows) or len(targets) != len(rows):
        raise DataError(
            f"images: {len(rows)} items of the data set make {len(images)} images and {len(targets)} targets"
        )
    return images if isinstance(images, Tensor) else _stacked(images, rows), checked(targets, rows)


def checked(targets: Sequence[Any], rows: Labels) -> list[Any]:
    """Targets whose numbers are finite.

    Args:
        targets: One structure for each image.
        rows: The images' numbers, for messages.

    Raises:
        DataError: They are not, or there is none for an image.
    """
    for row, target in zip(rows, targets, strict=True):
        found = tensors(target)
        if not found:
            raise DataError(f"images: the target of image {row} is a {type(target).__name__} without tensors")
        if not all(bool(torch.isfinite(tensor).all()) for tensor in found if tensor.is_floating_point()):
            raise DataError(f"images: the target of image {row} holds NaN or infinite values; repair it")
    return list(targets)


def _stacked(images: Sequence[Any], rows: Labels) -> Tensor:
    for row, image in zip(rows, images, strict=True):
        if not isinstance(image, Tensor):
            raise DataError(f"images: image {row} is a {type(image).__name__}; needed is a tensor")
        if image.shape != images[0].shape:
            raise DataError(
                f"images: image {row} has shape {tuple(image.shape)}, image {rows[0]} {tuple(images[0].shape)}; bring"
                " all to one size, and their targets with them"
            )
    return torch.stack(list(images))
