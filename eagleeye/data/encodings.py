"""From the bytes of one image to a picture of the wanted number of channels."""

import io
import threading
from contextlib import nullcontext

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from eagleeye.data.images import is_wide

Picture = Image.Image | Tensor
"""A picture of Pillow's, or of any number of channels as uint8 (channels, h, w)."""

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""What Pillow calls pictures of so many channels."""
TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)
"""Pillow itself warns from its limit on, and refuses from twice the limit on."""
# Pixels of a picture that takes gigabytes while it is decoded, if others like it are at the same time.
_LARGE = 30_000_000
_LARGE_ONES = threading.Lock()
_NUMPY = b"\x93NUMPY"


def opened(data: bytes, channels: int) -> Picture:
    """Open an encoded image.

    Args:
        data: A JPEG, PNG or similar file, brought to grey, grey with alpha, RGB or RGBA; or a NumPy file of uint8
            (h, w, channels), taken as it is.
        channels: How many are wanted.

    Returns:
        The picture.

    Raises:
        ValueError: It is of another number of channels, or of more than 8 bits.
        Exception: Of `TOO_LARGE`: it has more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    if data.startswith(_NUMPY):
        return _array(data, channels)
    with Image.open(io.BytesIO(data)) as file:
        require_room(*file.size)
        if is_wide(file):
            raise ValueError("more than 8 bits per channel")
        if channels not in _MODES:
            raise ValueError(f"a picture of mode {file.mode} has no {channels} channels, as mean and std have values")
        with _LARGE_ONES if file.width * file.height > _LARGE else nullcontext():
            return file.convert(_MODES[channels])


def array(data: bytes) -> npt.NDArray[np.float32]:
    """A network's input from the bytes of a NumPy file.

    Raises:
        ValueError: It is another file, or its numbers are no float32.
    """
    if not data.startswith(_NUMPY):
        raise ValueError("a picture, but without a preprocess inputs are NumPy files of float32")
    found: npt.NDArray[np.float32] = np.load(io.BytesIO(data), allow_pickle=False)
    if found.dtype != np.float32:
        raise ValueError(f"an array of {found.dtype}; without a preprocess inputs are float32")
    return found


def require_room(width: int, height: int) -> None:
    """Raise an exception of `TOO_LARGE` for more pixels than Pillow's limit, which a few bytes may stand for."""
    if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError(f"{width}x{height} pixels, at most {Image.MAX_IMAGE_PIXELS:,} are decoded")


def encoded(pixels: npt.NDArray[np.uint8]) -> bytes:
    """The bytes of a NumPy file.

    Args:
        pixels: uint8 (h, w, channels).
    """
    file = io.BytesIO()
    np.save(file, pixels, allow_pickle=False)
    return file.getvalue()


def sides(picture: Picture) -> tuple[int, int]:
    """Width and height in pixels."""
    return picture.size if isinstance(picture, Image.Image) else (picture.shape[2], picture.shape[1])


def pixels_of(picture: Picture) -> npt.NDArray[np.uint8]:
    """The pixels, uint8 (h, w, channels)."""
    if isinstance(picture, Tensor):
        return np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
    pixels = np.asarray(picture)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _array(data: bytes, channels: int) -> Tensor:
    pixels = np.load(io.BytesIO(data), allow_pickle=False)
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise ValueError(f"an array of {pixels.dtype} {pixels.shape}; needed is uint8 (h, w, channels)")
    if pixels.shape[2] != channels:
        raise ValueError(f"an array of {pixels.shape[2]} channels, but mean and std have {channels} values")
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
