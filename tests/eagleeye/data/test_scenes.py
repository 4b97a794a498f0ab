"""Scenes of the embedded digits: always the same, no handwriting on both sides, the digit whole and to be seen."""

import hashlib
import io

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from eagleeye.data import open_source
from eagleeye.data.scenes import Scenes


def test_no_handwriting_of_training_is_tested() -> None:
    train, test = open_source("scenes")
    assert (len(train), len(test)) == (3000, 8000)
    assert train.classes == test.classes == tuple("0123456789")
    inks = [{ink.tobytes() for ink in part.dataset.ink} for part in (train, test)]
    assert not inks[0] & inks[1]
    whole = {(digit / 16).astype(np.float32).tobytes() for digit in load_digits().images}
    assert inks[0] | inks[1] == whole
    for part in (train, test):
        assert np.bincount(part.labels).min() > 0.08 * len(part)


def test_an_image_follows_from_its_row_alone() -> None:
    train, test = open_source("scenes")
    assert train.encoded(7) == open_source("scenes")[0].encoded(7)
    assert len({train.encoded(row) for row in range(100)} | {test.encoded(row) for row in range(100)}) == 200
    # Figures in the documentation would silently shift with other images.
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(test.encoded(row)))) for row in range(20)])
    assert pixels.shape == (20, 20, 20)
    assert hashlib.sha256((pixels // 32).tobytes()).hexdigest()[:12] == "53312173b69f"


def test_the_digit_is_whole_and_the_brightest() -> None:
    ink = np.zeros((1, 8, 8), np.float32)
    ink[0, 2:6, 2:6] = 1  # of which a fragment may be a copy, but fainter
    scenes = Scenes(ink, np.array([3]), 50, seed=0)
    for row in range(50):
        image, label = scenes[row]
        assert label == 3
        bright = np.asarray(image).astype(float) > 30 + 200 * 0.5 * 0.7
        # A square of 4 of 8 pixels, 10 to 16 pixels large as a whole.
        assert bright.sum() > 9
