"""Harder images made of real handwriting: scikit-learn's digits, placed, turned and scaled amid fragments and noise."""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from eagleeye.data.images import ImageSet, Labels
from eagleeye.data.pictures import PictureImages

Pixels = npt.NDArray[np.float32]

SIDE = 20
"""Of an image, in pixels."""
INK_SIDE = 8
"""Of scikit-learn's pictures."""
SIZES = (10, 16)
"""Of a digit in an image, in pixels."""
FRAGMENTS = 3
FRAGMENT_SIDE = 4
"""Of the part of another digit that is a fragment, in pixels of scikit-learn's."""
FAINTER = 0.7
NOISE = 0.1
"""Standard deviation, of the ink's range."""
TURNED = 30
"""Degrees, at most; fragments are turned by any."""
SHEARED = 0.3
TRAIN, TEST = 3000, 8000
HELD_OUT = 0.3
"""Of the handwriting itself: none of a training image is in a test image."""


def open_scenes() -> tuple[ImageSet, ImageSet]:
    """3,000 training and 8,000 test images of 20x20 pixels, the same ones every time.

    The 1,797 digits of `digits` are divided first, 1,257 for training and 540 for testing; each then occurs in several
    images. Images of one digit are not quite independent, so that an interval over images is a little too narrow.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found = load_digits()
    ink = (found.images / 16).astype(np.float32)
    parts = train_test_split(np.arange(len(ink)), test_size=HELD_OUT, stratify=found.target, random_state=0)
    classes = tuple(str(name) for name in found.target_names)
    train, test = (
        _images(Scenes(ink[rows], found.target[rows], count, seed), classes)
        for seed, (rows, count) in enumerate(zip(parts, (TRAIN, TEST), strict=True))
    )
    return train, test


def _images(scenes: "Scenes", classes: tuple[str, ...]) -> PictureImages:
    return PictureImages(scenes, classes, scenes.labels, "scenes")


class Scenes:
    """Pairs of an image and the digit that is whole in it, drawn when they are asked for."""

    def __init__(self, ink: Pixels, digits: Labels, count: int, seed: int) -> None:
        """Draw from some digits.

        Args:
            ink: Digits (n, 8, 8), from 0 to 1.
            digits: What they are, (n,).
            count: Images; the digits take turns.
            seed: With the row it decides everything else about an image.
        """
        self.ink = ink
        self.rows = np.arange(count) % len(ink)
        self.labels = digits[self.rows].astype(np.int64)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> tuple[Image.Image, int]:
        return self._draw(row), int(self.labels[row])

    def _draw(self, row: int) -> Image.Image:
        random = np.random.default_rng((self.seed, row))
        image: Pixels = np.zeros((SIDE, SIDE), np.float32)
        for _ in range(FRAGMENTS):
            image = np.maximum(image, FAINTER * _placed(random, self._fragment(random), 0, 180))
        image = np.maximum(image, _placed(random, self.ink[self.rows[row]], 1, TURNED))
        contrast = random.uniform(0.5, 1)
        noisy = contrast * image + NOISE * random.standard_normal(image.shape)
        return Image.fromarray(np.clip(200 * noisy + 30, 0, 255).astype(np.uint8))

    def _fragment(self, random: np.random.Generator) -> Pixels:
        whole = self.ink[random.integers(len(self.ink))]
        y, x = random.integers(0, INK_SIDE - FRAGMENT_SIDE, 2)
        piece: Pixels = np.zeros((INK_SIDE, INK_SIDE), np.float32)
        edge = (INK_SIDE - FRAGMENT_SIDE) // 2
        inside = slice(edge, edge + FRAGMENT_SIDE)
        piece[inside, inside] = whole[y : y + FRAGMENT_SIDE, x : x + FRAGMENT_SIDE]
        return piece


def _placed(random: np.random.Generator, ink: Pixels, whole: int, turned: float) -> Pixels:
    """A digit's ink (8, 8) somewhere in an image (20, 20); `whole` is 1 where none of it may be cut off by the edge."""
    size = random.uniform(*SIZES)
    angle = math.radians(random.uniform(-turned, turned))
    shear = random.uniform(-SHEARED, SHEARED)
    free = (SIDE - whole * size) / 2
    x, y = SIDE / 2 + random.uniform(-free, free, 2)
    step = INK_SIDE / size
    across = (step * math.cos(angle), step * (math.sin(angle) + shear))
    down = (-step * math.sin(angle), step * math.cos(angle))
    middle = INK_SIDE / 2
    # From a place in the image to one in the ink: (a, b, c, d, e, f) as Pillow wants it.
    mapping = (
        *(*across, middle - across[0] * x - across[1] * y),
        *(*down, middle - down[0] * x - down[1] * y),
    )
    picture = Image.fromarray(ink)
    placed: Pixels = np.asarray(
        picture.transform((SIDE, SIDE), Image.Transform.AFFINE, mapping, Image.Resampling.BICUBIC)
    )
    return placed
