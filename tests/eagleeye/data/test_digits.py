"""The embedded digits."""

import io

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from eagleeye.data import Preprocess, decode, open_source


def test_every_digit_is_in_exactly_one_part_with_its_label() -> None:
    train, test = open_source("digits")
    raw = load_digits()
    known = {image.astype(int).tobytes(): set() for image in raw.images}
    for image, label in zip(raw.images, raw.target, strict=True):
        known[image.astype(int).tobytes()].add(int(label))
    assert len(train) + len(test) == len(raw.images)
    found = set()
    for part in (train, test):
        for row in range(len(part)):
            ink = np.rint(np.asarray(Image.open(io.BytesIO(part.encoded(row)))) * (16 / 255)).astype(int)
            assert int(part.labels[row]) in known[ink.tobytes()]
            found.add(ink.tobytes())
    assert found == set(known)
    assert train.classes == test.classes == tuple("0123456789")


def test_the_division_is_stratified_and_always_the_same() -> None:
    train, test = open_source("digits")
    again, _ = open_source("digits")
    assert (len(train), len(test)) == (1437, 360)
    shares = np.bincount(test.labels) / (np.bincount(train.labels) + np.bincount(test.labels))
    assert np.all(np.abs(shares - 0.2) < 0.01)
    assert [train.encoded(row) for row in range(50)] == [again.encoded(row) for row in range(50)]
    # The embedded default's results would silently shift with another division.
    assert train.labels[:12].tolist() == [3, 9, 1, 3, 1, 9, 4, 4, 2, 8, 3, 5]


def test_upscaled_digits_are_three_equal_channels() -> None:
    _, test = open_source("digits")
    pixels = decode(test, range(40), Preprocess(size=16)).pixels
    assert pixels.shape == (40, 3, 16, 16)
    assert bool((pixels == pixels[:, :1]).all())
    assert pixels.max() > 200
