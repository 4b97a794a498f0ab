"""Small encoded images in memory."""

import io

import numpy as np
from PIL import Image


class Pictures:
    """An image set in memory."""

    def __init__(self, files: list[bytes], labels: list[int] | None = None) -> None:
        self.files = files
        self.labels = np.array(labels or [0] * len(files), dtype=np.int64)
        self.classes = ("cat", "dog")

    def __len__(self) -> int:
        return len(self.files)

    def encoded(self, row: int) -> bytes:
        return self.files[row]


def coded(picture: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def noise(width: int, height: int, seed: int = 0, mode: str = "RGB") -> Image.Image:
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)
