"""From encoded images to pixels of one size: decode, resize, crop."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from eagleeye.data.encodings import TOO_LARGE, Picture, array, opened, pixels_of, require_room, sides
from eagleeye.data.images import Images, ImageSet, Labels, Preprocess, read, where
from eagleeye.data.targets import targets_of
from eagleeye.errors import DataError
from eagleeye.foreign import LOOKED_AT, recognised
from eagleeye.references import described

_THREADS = 4
_CHUNK = 32
_SMALLER = "make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS in a data function of your own"

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
Decoded = tuple[int, Pixels]


def decode(images: ImageSet, rows: Sequence[int] | Labels | None, preprocess: Preprocess | None) -> Images:
    """Decode images into one tensor in memory, in the order of `rows`.

    Args:
        images: Where the images come from.
        rows: Row numbers in `images`; None takes all.
        preprocess: Size and crop; mean and std are left to `Batches`. None: the set holds the network's inputs
            themselves, as NumPy files of float32.

    Returns:
        The images as uint8 pixels (n, channels, h, w), or inputs float32 (n, channels, …), and their targets.

    Raises:
        DataError: An image is corrupt, does not fit `preprocess` or differs in size from the others: names
            the row.
    """
    wanted = checked_rows(images, rows)
    pixels: Pixels = np.empty(0, dtype=np.uint8)
    for place, picture in decoded(images, wanted, preprocess):
        if not pixels.size:
            pixels = np.empty((len(wanted), *picture.shape), dtype=picture.dtype)
        pixels[place] = picture
    return Images(channels_first(torch.from_numpy(pixels)), targets_of(images, wanted, preprocess))


def channels_first(decoded: Tensor) -> Tensor:
    """Pixels (n, h, w, channels) as (n, channels, h, w), channels last in memory; inputs as they are."""
    return decoded.permute(0, 3, 1, 2) if decoded.dtype == torch.uint8 else decoded


def decoded(images: ImageSet, rows: Labels, preprocess: Preprocess | None) -> Iterator[Decoded]:
    """Decode images one after another, a few hundred at most in memory.

    Args:
        images: Where the images come from.
        rows: Row numbers, from `checked_rows`.
        preprocess: Size and crop; None as in `decode`.

    Yields:
        Place in `rows`, in no particular order, and pixels uint8 (h, w, channels), or an input: one size for all.

    Raises:
        DataError: As in `decode`.
    """
    first: Decoded | None = None
    # Rising row numbers: a set stored in pieces then opens each piece once.
    for place, picture in _decoded(images, rows, np.argsort(rows, kind="stable"), preprocess):
        if first is None:
            first = place, picture
        elif picture.shape != first[1].shape:
            one, other = (where(images, int(rows[number])) for number in (place, first[0]))
            if preprocess is None:
                raise DataError(f"{one} has shape {picture.shape}, but {other} {first[1].shape}: bring all to one size")
            raise DataError(
                f"{one} is {_sides(picture)} pixels, but {other} is {_sides(first[1])}: set size (and resize) in the "
                "preprocessing to bring all images to one size"
            )
        yield place, picture
    if first is None:
        raise DataError("there are no images to decode: the set, or the choice of rows, is empty")


def checked_rows(images: ImageSet, rows: Sequence[int] | Labels | None) -> Labels:
    """Row numbers as int64 (n,), `None` being all, or a DataError that names the first one out of range."""
    wanted = np.arange(len(images)) if rows is None else np.asarray(rows, dtype=np.int64)
    outside = wanted[(wanted < 0) | (wanted >= len(images))]
    if len(outside):
        raise DataError(f"row {outside[0]} does not exist: the set has {len(images)} images, counted from 0")
    return wanted


def _decoded(
    images: ImageSet, wanted: Labels, order: npt.NDArray[np.intp], preprocess: Preprocess | None
) -> Iterator[Decoded]:
    chunks = (
        [(int(place), int(wanted[place]), read(images, int(wanted[place]))) for place in order[start : start + _CHUNK]]
        for start in range(0, len(order), _CHUNK)
    )
    if len(order) <= _CHUNK:
        # A few images (a data loader asks for one at a time) are done sooner than threads are started.
        for chunk in chunks:
            yield from _decode_chunk(images, chunk, preprocess)
        return
    # Bytes are read in this thread, as sets need not be thread-safe; Pillow's decoders release the GIL.
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting: deque[Future[list[Decoded]]] = deque()
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
    images: ImageSet, chunk: list[tuple[int, int, bytes]], preprocess: Preprocess | None
) -> list[Decoded]:
    return [(place, _decode_one(images, row, data, preprocess)) for place, row, data in chunk]


def _decode_one(images: ImageSet, row: int, data: bytes, preprocess: Preprocess | None) -> Pixels:
    try:
        if preprocess is None:
            return array(data)
        picture = opened(data, preprocess.channels)
    except TOO_LARGE as cause:
        raise DataError(f"{where(images, row)} is too large: {cause}; {_SMALLER}") from cause
    # Damaged files make Pillow's decoders raise almost anything, from OSError to IndexError.
    except Exception as cause:
        if kind := recognised(data[:LOOKED_AT]):
            raise DataError(f"{where(images, row)} is {kind}") from cause
        raise DataError(
            f"{where(images, row)} cannot be decoded ({described(cause)}): replace the image or leave the row out"
        ) from cause
    return pixels_of(_resized(picture, preprocess, images, row))


def _resized(picture: Picture, preprocess: Preprocess, images: ImageSet, row: int) -> Picture:
    size = preprocess.size
    resize = preprocess.resize
    width, height = sides(picture)
    if resize is None and (size is None or (width, height) == (size, size)):
        return picture
    from torchvision.transforms.v2 import functional

    result: Picture
    if resize is not None:
        try:
            require_room(*(side * resize // max(1, min(width, height)) for side in (width, height)))
        except TOO_LARGE as cause:
            raise DataError(f"{where(images, row)} is too long, resized to {resize}: {cause}; {_SMALLER}") from cause
        result = functional.resize(picture, [resize], antialias=True)
        if size is not None:
            result = functional.center_crop(result, [size, size])
        return result
    if width != height:
        raise DataError(
            f"{where(images, row)} is {width}x{height} pixels, not square: set resize (the "
            f"short side before the centre crop to {size}) in the preprocessing"
        )
    result = functional.resize(picture, [size, size], antialias=True)
    return result


def _sides(picture: Pixels) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
