"""Sets of encoded images, and how they become pixels: decode, resize, crop."""

import io
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional

from eagleeye.errors import ConfigError, DataError, EagleEyeError
from eagleeye.references import described

_THREADS = 4
_CHUNK = 32

Labels = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]


@runtime_checkable
class ImageSet(Protocol):
    """An indexable set of encoded images with their labels; images are read one by one, never all at once.

    A set may also have a method `origin(row) -> str` (a file's name, say), which then appears in error
    messages. Sets are read from one thread at a time and need not be thread-safe; they survive `pickle` for
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
        """The bytes of a JPEG, PNG or similar file holding image `row`."""
        ...


@dataclass(frozen=True)
class Preprocess:
    """How an image becomes the network's input; always 3-channel RGB.

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
            if len(value) != 3 or not all(np.isfinite(value)):
                raise ConfigError(f"{name} must be three finite numbers (red, green, blue); got {value}")
            object.__setattr__(self, name, value)
        if min(self.std) <= 0:
            raise ConfigError(f"std must be above 0 in every channel; got {self.std}")


@dataclass(frozen=True)
class Images:
    """Decoded images of one size.

    Attributes:
        pixels: uint8 (n, 3, h, w).
        labels: int64 (n,).
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def decode(images: ImageSet, rows: Sequence[int] | npt.NDArray[np.int64] | None, preprocess: Preprocess) -> Images:
    """Decode images into one tensor, in the order of `rows`.

    Args:
        images: Where the images come from.
        rows: Row numbers in `images`; None takes all.
        preprocess: Size and crop; mean and std are left to `Batches`.

    Returns:
        The images as uint8 pixels (n, 3, h, w) and their labels.

    Raises:
        DataError: An image is corrupt, does not fit `preprocess` or differs in size from the others: names
            the row.
    """
    wanted = _checked_rows(images, rows)
    # Rising row numbers: a set stored in pieces then opens each piece once.
    order = np.argsort(wanted, kind="stable")
    pixels: Pixels | None = None
    first = -1
    for place, row, picture in _decoded(images, wanted, order, preprocess):
        if pixels is None:
            pixels, first = np.empty((len(wanted), *picture.shape), dtype=np.uint8), row
        if picture.shape != pixels.shape[1:]:
            raise DataError(
                f"{_where(images, row)} is {_sides(picture)} pixels, but row {first} is {_sides(pixels[0])}: "
                "set size (and resize) in the preprocessing to bring all images to one size"
            )
        pixels[place] = picture
    if pixels is None:
        raise DataError("there are no images to decode: the set, or the choice of rows, is empty")
    return Images(torch.from_numpy(pixels), torch.from_numpy(np.asarray(images.labels, dtype=np.int64)[wanted]))


def read(images: ImageSet, row: int) -> bytes:
    """The encoded image of a row, or a DataError that names the row, whatever the set itself raised."""
    try:
        return images.encoded(row)
    except EagleEyeError:
        raise
    except Exception as cause:
        raise DataError(f"{_where(images, row)} cannot be read: {described(cause)}") from cause


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


def is_wide(picture: Image.Image) -> bool:
    """Whether pixels take more than 8 bits per channel, which Pillow would cut off instead of scaling."""
    return picture.mode.startswith(("I", "F"))


def _checked_rows(images: ImageSet, rows: Sequence[int] | Labels | None) -> Labels:
    wanted = np.arange(len(images)) if rows is None else np.asarray(rows, dtype=np.int64)
    outside = wanted[(wanted < 0) | (wanted >= len(images))]
    if len(outside):
        raise DataError(f"row {outside[0]} does not exist: the set has {len(images)} images, counted from 0")
    return wanted


def _decoded(
    images: ImageSet, wanted: Labels, order: npt.NDArray[np.intp], preprocess: Preprocess
) -> Iterator[tuple[int, int, Pixels]]:
    chunks = (
        [(place, int(wanted[place]), read(images, int(wanted[place]))) for place in order[start : start + _CHUNK]]
        for start in range(0, len(order), _CHUNK)
    )
    if len(order) <= _CHUNK:
        # A few images (a data loader asks for one at a time) are done sooner than threads are started.
        for chunk in chunks:
            yield from _decode_chunk(images, chunk, preprocess)
        return
    # Bytes are read in this thread, as sets need not be thread-safe; Pillow's decoders release the GIL.
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting: deque[Future[list[tuple[int, int, Pixels]]]] = deque()
        try:
            for chunk in chunks:
                waiting.append(pool.submit(_decode_chunk, images, chunk, preprocess))
                if len(waiting) > 2 * _THREADS:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _decode_chunk(
    images: ImageSet, chunk: list[tuple[int, int, bytes]], preprocess: Preprocess
) -> list[tuple[int, int, Pixels]]:
    return [(place, row, _decode_one(images, row, data, preprocess)) for place, row, data in chunk]


def _decode_one(images: ImageSet, row: int, data: bytes, preprocess: Preprocess) -> Pixels:
    try:
        with Image.open(io.BytesIO(data)) as file:
            if is_wide(file):
                raise ValueError("more than 8 bits per channel")
            picture = file.convert("RGB")
    # Damaged files make Pillow's decoders raise almost anything, from OSError to IndexError.
    except Exception as cause:
        raise DataError(
            f"{_where(images, row)} cannot be decoded ({described(cause)}): replace the image or leave the row out"
        ) from cause
    picture = _resized(picture, preprocess, images, row)
    return np.asarray(picture).transpose(2, 0, 1)


def _resized(picture: Image.Image, preprocess: Preprocess, images: ImageSet, row: int) -> Image.Image:
    size, resize = preprocess.size, preprocess.resize
    result: Image.Image
    if resize is not None:
        result = functional.resize(picture, [resize], antialias=True)
        if size is not None:
            result = functional.center_crop(result, [size, size])
        return result
    if size is None or picture.size == (size, size):
        return picture
    if picture.width != picture.height:
        raise DataError(
            f"{_where(images, row)} is {picture.width}x{picture.height} pixels, not square: set resize (the "
            f"short side before the centre crop to {size}) in the preprocessing"
        )
    result = functional.resize(picture, [size, size], antialias=True)
    return result


def _where(images: ImageSet, row: int) -> str:
    origin = getattr(images, "origin", None)
    return f"row {row} ({origin(row)})" if callable(origin) else f"row {row}"


def _sides(picture: Pixels) -> str:
    return f"{picture.shape[2]}x{picture.shape[1]}"
