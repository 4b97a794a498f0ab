"""Decoded images in a file: decoded once, shared by all processes, and never in memory as a whole."""

import os
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from eagleeye.data.decoding import channels_first, checked_rows, decoded
from eagleeye.data.images import Images, ImageSet, Labels, Preprocess
from eagleeye.data.targets import targets_of
from eagleeye.errors import ArtifactError
from eagleeye.files import written_whole

_SUMS = np.dtype("<u4")


def decode_to(
    path: str | Path, images: ImageSet, rows: Sequence[int] | Labels | None, preprocess: Preprocess | None
) -> Images:
    """Decode images into a file, or find them there, and open it as if it were memory.

    The operating system brings in what is looked at and drops it again when memory is short: a set may be larger
    than memory, and processes that open the same file share one copy. The file is NumPy's format, uint8
    (n, h, w, channels), or float32 (n, …) where there is no preprocess, with a checksum of every image behind it. A
    file that is torn or damaged, or of another number or size of images, is made anew; one that merely holds other
    images of the same size cannot be told: let the name follow from the content.

    Args:
        path: The file.
        images: Where the images come from.
        rows: Row numbers in `images`; None takes all.
        preprocess: Size and crop; mean and std are left to `Batches`. None as in `decode`.

    Returns:
        The images as uint8 pixels (n, channels, h, w), channels last in memory, and their targets. The pixels are
        read-only: writing to them ends the process.

    Raises:
        ArtifactError: The file cannot be written, or not be read again.
        DataError: As in `decode`.
    """
    file = Path(path)
    wanted = checked_rows(images, rows)
    pixels = _opened(file, len(wanted), preprocess)
    if pixels is None:
        _write(file, images, wanted, preprocess)
        pixels = _opened(file, len(wanted), preprocess)
    if pixels is None:
        raise ArtifactError(f"{file} cannot be read back: check the disk, or choose another folder, and run again")
    return Images(pixels, targets_of(images, wanted, preprocess))


def _write(file: Path, images: ImageSet, rows: Labels, preprocess: Preprocess | None) -> None:
    # Not through a memory map: on a full disk that would kill the process instead of raising an error.
    sums = np.zeros(len(rows), _SUMS)
    with written_whole(file) as temporary, temporary.open("wb") as stream:
        start = 0
        for place, picture in decoded(images, rows, preprocess):
            if not start:
                shape = (len(rows), *picture.shape)
                header = {"descr": picture.dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, header)
                start = stream.tell()
            stream.seek(start + place * picture.nbytes)
            stream.write(picture.data)
            sums[place] = zlib.crc32(picture.data)
        stream.seek(0, os.SEEK_END)
        stream.write(sums.data)


def _opened(file: Path, count: int, preprocess: Preprocess | None) -> Tensor | None:
    """The pixels in a file, None if there is no such file or it is not of these images."""
    try:
        pixels = np.lib.format.open_memmap(file, mode="r")
        sums = np.fromfile(file, _SUMS, offset=pixels.offset + pixels.nbytes)
        whole = file.stat().st_size == pixels.offset + pixels.nbytes + sums.nbytes
    # A file of another origin makes NumPy raise almost anything.
    except Exception:
        return None
    if not whole or not pixels.flags.c_contiguous or pixels.shape[:1] != (count,) or not _fits(pixels, preprocess):
        return None
    if not _is_sound(pixels, sums):
        return None
    with warnings.catch_warnings():
        # A private, writable map would be silent, but the system refuses one that is larger than memory.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return channels_first(torch.from_numpy(pixels))


def _is_sound(pixels: np.memmap[Any, Any], sums: npt.NDArray[np.uint32]) -> bool:
    """Whether every image is as it was written: a file of zeros would change results silently."""
    # The whole file is read, at the speed of memory: it is looked at right after this.
    return len(sums) == len(pixels) and all(
        zlib.crc32(picture.data) == wanted for picture, wanted in zip(pixels, sums.tolist(), strict=True)
    )


def _fits(pixels: np.memmap[Any, Any], preprocess: Preprocess | None) -> bool:
    if preprocess is None:
        return bool(pixels.dtype == np.float32)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != preprocess.channels:
        return False
    sides = pixels.shape[1:3]
    if preprocess.size is not None:
        return bool(sides == (preprocess.size, preprocess.size))
    return preprocess.resize is None or bool(min(sides) == preprocess.resize)
