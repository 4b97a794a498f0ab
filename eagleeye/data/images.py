"""What images are to this library: encoded in a set, described by a preprocessing, decoded into pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from eagleeye.errors import ConfigError, DataError, EagleEyeError
from eagleeye.references import described

Labels = npt.NDArray[np.int64]
Targets = Any
"""Of n images: a tensor (n, …), or a list with a structure of tensors for each image, e.g. its boxes."""

# Classes without names at most: a larger label is a number of another kind, such as a hash or a date.
_MOST_CLASSES = 1_000_000


@runtime_checkable
class ImageSet(Protocol):
    """An indexable set of encoded images with their labels; images are read one by one, never all at once.

    A set may also have a method `origin(row) -> str` (a file's name, say), which then appears in error
    messages, or `named(row) -> str`, which stands there for the row altogether; and `remarks`, lines to tell
    the user. Sets are read from one thread at a time and need not be thread-safe; they survive `pickle` for
    data loaders.

    Attributes:
        classes: Names of the classes, by label.
        labels: Label of every image, int64 (N,).
    """

    classes: tuple[str, ...]
    labels: Labels

    def __len__(self) -> int:
        """Number of images N."""
        ...

    def encoded(self, row: int) -> bytes:
        """The bytes of a JPEG, PNG or similar file holding image `row`, or of a NumPy file, uint8 (h, w, channels)."""
        ...


@dataclass(frozen=True)
class Preprocess:
    """How an image becomes the network's input.

    There are as many channels as values in `mean`: pictures become grey (1), grey with alpha (2), RGB (3) or RGBA (4);
    any other number comes as arrays, with as many channels as that.

    Attributes:
        size: Side of the final square in pixels; None keeps the images' own size.
        resize: Length in pixels that the short side is brought to before a centre crop to `size`; None
            resizes square images straight to `size`.
        mean: Per-channel mean to subtract, of pixels in [0, 1].
        std: Per-channel standard deviation to divide by, of pixels in [0, 1].
    """

    size: int | None = None
    resize: int | None = None
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        for name in ("size", "resize"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigError(f"{name} must be a whole number of pixels above 0, or null; got {value!r}")
        if self.size is not None and self.resize is not None and self.size > self.resize:
            raise ConfigError(
                f"size {self.size} is larger than resize {self.resize}: the crop must fit; lower size or raise resize"
            )
        for name in ("mean", "std"):
            value = tuple(float(entry) for entry in getattr(self, name))
            if not value or not all(np.isfinite(value)):
                raise ConfigError(f"{name} must be finite numbers, one per channel; got {value}")
            object.__setattr__(self, name, value)
        if len(self.mean) != len(self.std):
            raise ConfigError(
                f"mean has {len(self.mean)} values and std {len(self.std)}: give both one per channel of the images"
            )
        if min(self.std) <= 0:
            raise ConfigError(f"std must be above 0 in every channel; got {self.std}")

    @property
    def channels(self) -> int:
        """Channels of the network's input."""
        return len(self.mean)

    def check_pixels(self, pixels: Tensor) -> None:
        """Check that decoded images are what this describes.

        Args:
            pixels: uint8 (n, channels, h, w).

        Raises:
            ConfigError: They have another number of channels.
            DataError: They are no bytes, or no images.
        """
        if pixels.dtype != torch.uint8 or pixels.dim() != 4:
            raise DataError(
                f"pixels: {str(pixels.dtype).removeprefix('torch.')} {tuple(pixels.shape)} given; needed are bytes,"
                " uint8 (n, channels, h, w)"
            )
        if pixels.shape[1] != self.channels:
            raise ConfigError(
                f"mean and std have {self.channels} values, but the images have {pixels.shape[1]} channels: give one"
                " value per channel"
            )


@dataclass(frozen=True)
class Images:
    """Decoded images of one size.

    Attributes:
        pixels: uint8 (n, channels, h, w), channels last in memory, or a network's inputs, floating point. Not to be
            written to: they may lie in a file.
        labels: Classes, int64 (n,), or other targets, (n, …) or one for each: see `eagleeye.data.targets.targets_of`.
    """

    pixels: Tensor
    labels: Targets

    def __len__(self) -> int:
        return len(self.labels)


def read(images: ImageSet, row: int) -> bytes:
    """The encoded image of a row, or a DataError that names the row, whatever the set itself raised."""
    try:
        return images.encoded(row)
    except EagleEyeError:
        raise
    except Exception as cause:
        raise DataError(f"{where(images, row)} cannot be read: {described(cause)}") from cause


def check_labels(labels: npt.NDArray[Any], classes: Sequence[str], source: str) -> Labels:
    """Labels as int64, or a DataError that names the first row outside of the classes."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{source}: labels must be one whole number per image; got {labels.dtype} {labels.shape}")
    wrong = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(wrong):
        raise DataError(
            f"{source}: row {wrong[0]} has label {labels[wrong[0]]}, allowed are 0 to {len(classes) - 1} "
            f"({len(classes)} classes); unlabelled images cannot be used"
        )
    return labels.astype(np.int64)


def numbered_classes(labels: npt.NDArray[Any], source: str) -> tuple[str, ...]:
    """Names for classes that have none, "0" to the largest label, or a DataError if that is out of all proportion."""
    row = int(np.argmax(labels))
    if labels[row] >= _MOST_CLASSES:
        raise DataError(
            f"{source}: row {row} has label {labels[row]}, and the classes have no names; number them from 0 (below "
            f"{_MOST_CLASSES:,}), or name them"
        )
    return tuple(str(label) for label in range(int(labels[row]) + 1))


def is_wide(picture: Image.Image) -> bool:
    """Whether pixels take more than 8 bits per channel, which Pillow would cut off instead of scaling."""
    return picture.mode.startswith(("I", "F"))


def where(images: ImageSet, row: int) -> str:
    """A row as error messages name it, with its file where the set knows one."""
    named = getattr(images, "named", None)
    if callable(named):
        return str(named(row))
    origin = getattr(images, "origin", None)
    return f"row {row} ({origin(row)})" if callable(origin) else f"row {row}"
