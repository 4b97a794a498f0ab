"""How large images are, from their files' beginnings alone."""

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from eagleeye.data.images import ImageSet, Labels, read

LOOKED_AT = 256
"""Images that show how large all are."""
SMALL = 64
"""Inputs from this side on are common for images of any size."""
FAR_SMALLER = 3
SMALLER = 2
"""Times the input fits into the images."""


def times_smaller(images: ImageSet, rows: Labels, side: int | None) -> tuple[int, float]:
    """Whether a network's input is smaller than the images, as if the preprocessing were left from other data.

    Args:
        images: Where the images come from.
        rows: Some of their rows; the first 256 are looked at.
        side: Of the input, in pixels; None: the images' own.

    Returns:
        The images' short side (median), and how many times the input fits into it; 0 where it is no question.

    Raises:
        DataError: A file cannot be read.
    """
    if side is None or side >= SMALL:
        return 0, 0.0
    sides = short_sides(images, rows[:LOOKED_AT])
    median = int(np.median(sides)) if len(sides) else 0
    return median, median / side


def short_sides(images: ImageSet, rows: Iterable[int]) -> Labels:
    """The shorter side of every image.

    Args:
        images: Where the images come from.
        rows: Row numbers.

    Returns:
        Pixels, int64 (n,); n is smaller than the number of rows where there are arrays or damaged images among them,
        which `decode` names.

    Raises:
        DataError: A file cannot be read.
    """
    found = (_short_side(read(images, int(row))) for row in rows)
    return np.array([side for side in found if side is not None], dtype=np.int64)


def _short_side(data: bytes) -> int | None:
    try:
        with Image.open(io.BytesIO(data)) as file:
            return min(file.size)
    # Damaged files make Pillow raise almost anything.
    except Exception:
        return None
