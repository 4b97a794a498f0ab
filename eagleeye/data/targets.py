"""What images come with where that is no class: numbers, masks, boxes. Stored with them, and cut as they are cut."""

from __future__ import annotations

import io
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eagleeye.data.boxes import Boxes, cut_boxes, decoded_boxes
from eagleeye.data.images import ImageSet, Labels, Preprocess, Targets, read, where
from eagleeye.errors import DataError, EagleEyeError
from eagleeye.references import described

NUMBERS = "numbers"
"""Kind of targets that are the same however a picture is cut: a NumPy file each."""
MASK = "mask"
"""Kind of targets that are pictures themselves: a class for every pixel, a PNG file of grey each."""
BOXES = "boxes"
"""Kind of targets that are boxes with labels, of which every picture has its own number: see `eagleeye.data.boxes`."""


@runtime_checkable
class Targeted(ImageSet, Protocol):
    """A set of images whose targets are no classes.

    Attributes:
        target_kind: `NUMBERS`, `MASK` or `BOXES`.
    """

    target_kind: str

    def encoded_target(self, row: int) -> bytes:
        """The bytes of a file that holds the target of image `row`."""
        ...


def read_target(images: Targeted, row: int) -> bytes:
    """The encoded target of a row, or a DataError that names the row, whatever the set itself raised."""
    try:
        return images.encoded_target(row)
    except EagleEyeError:
        raise
    except Exception as cause:
        raise DataError(f"the target of {where(images, row)} cannot be read: {described(cause)}") from cause


def targets_of(images: ImageSet, rows: Labels, preprocess: Preprocess | None) -> Targets:
    """The targets of rows.

    Args:
        images: Where the images come from.
        rows: Row numbers.
        preprocess: How pictures are cut; masks and boxes are cut alike.

    Returns:
        Classes, int64 (n,); numbers (n, …) as they are; or masks, uint8 (n, h, w), which take an eighth of what
        arithmetic wants: see `usable`. Or a list with boxes and labels for each.

    Raises:
        DataError: A target is damaged, does not fit its picture, or differs in shape from the others.
    """
    if not isinstance(images, Targeted):
        return torch.from_numpy(np.asarray(images.labels, dtype=np.int64)[rows])
    if images.target_kind == BOXES:
        return [_boxes(images, int(row), preprocess) for row in rows]
    found = [_target(images, int(row), preprocess) for row in rows]
    for row, target in zip(rows, found, strict=True):
        if target.shape != found[0].shape:
            raise DataError(
                f"the target of {where(images, int(row))} has shape {tuple(target.shape)}, that of"
                f" {where(images, int(rows[0]))} {tuple(found[0].shape)}: bring all to one size"
            )
    return torch.stack(found)


def usable(targets: Targets) -> Targets:
    """Targets as losses and scores take them: classes of pixels become int64."""
    return targets.long() if isinstance(targets, Tensor) and targets.dtype == torch.uint8 else targets


def encoded_numbers(values: np.ndarray) -> bytes:
    """Numbers as the bytes of a NumPy file."""
    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()


def encoded_mask(classes: np.ndarray) -> bytes:
    """A class for every pixel, uint8 (h, w), as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(classes).save(file, format="PNG", compress_level=1)
    return file.getvalue()


def _target(images: Targeted, row: int, preprocess: Preprocess | None) -> Tensor:
    data = read_target(images, row)
    try:
        if images.target_kind == NUMBERS:
            return torch.from_numpy(np.load(io.BytesIO(data), allow_pickle=False))
        with Image.open(io.BytesIO(data)) as file:
            mask = torch.from_numpy(np.array(file))
    # Damaged files make Pillow and NumPy raise almost anything.
    except Exception as cause:
        raise DataError(f"the target of {where(images, row)} cannot be decoded: {described(cause)}") from cause
    _require_size(images, row, mask)
    return _cut(mask, preprocess)


def _boxes(images: Targeted, row: int, preprocess: Preprocess | None) -> Boxes:
    data = read_target(images, row)
    try:
        found = decoded_boxes(data)
        if preprocess is None or (preprocess.size is None and preprocess.resize is None):
            return found
        with Image.open(io.BytesIO(read(images, row))) as file:
            picture = file.size
    except EagleEyeError:
        raise
    # Damaged files make safetensors and Pillow raise almost anything.
    except Exception as cause:
        raise DataError(f"the target of {where(images, row)} cannot be decoded: {described(cause)}") from cause
    return cut_boxes(found, picture, preprocess)


def _require_size(images: ImageSet, row: int, mask: Tensor) -> None:
    with Image.open(io.BytesIO(read(images, row))) as file:
        picture = file.size
    if (mask.shape[1], mask.shape[0]) != picture:
        raise DataError(
            f"{where(images, row)} is {picture[0]}x{picture[1]} pixels, but its mask"
            f" {mask.shape[1]}x{mask.shape[0]}; needed is a mask of the picture's size"
        )


def _cut(mask: Tensor, preprocess: Preprocess | None) -> Tensor:
    """A mask as `eagleeye.data.decode` cuts its picture, every pixel with the class of the nearest one before."""
    size, resize = (None, None) if preprocess is None else (preprocess.size, preprocess.resize)
    if size is None and resize is None:
        return mask
    from torchvision.transforms.v2 import InterpolationMode, functional

    short = [size, size] if resize is None else [resize]
    cut: Tensor = functional.resize(mask[None], short, interpolation=InterpolationMode.NEAREST_EXACT)
    if resize is not None and size is not None:
        cut = functional.center_crop(cut, [size, size])
    return cut[0]
