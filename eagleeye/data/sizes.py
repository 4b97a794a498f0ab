"""How large images are, from their files' beginnings alone."""

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from eagleeye.data.images import ImageSet, Labels, read


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
