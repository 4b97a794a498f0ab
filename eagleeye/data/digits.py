"""The handwritten digits that scikit-learn carries: real images that need no download."""

import numpy as np
from PIL import Image

from eagleeye.data.images import ImageSet
from eagleeye.data.pictures import PictureImages


def open_digits() -> tuple[ImageSet, ImageSet]:
    """1,797 digits of 8x8 pixels in a fixed division into four fifths for training, one fifth for testing.

    Source: Alpaydin and Kaynak 1998, the test part of "Optical Recognition of Handwritten Digits" (UCI).
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found = load_digits()
    # Ink is counted from 0 to 16.
    pixels = np.rint(found.images * (255 / 16)).astype(np.uint8)
    labels = found.target.astype(np.int64)
    classes = tuple(str(name) for name in found.target_names)
    parts = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0)
    train, test = (
        PictureImages(
            [(Image.fromarray(pixels[row]), int(labels[row])) for row in rows],
            classes,
            labels[rows],
            "digits",
        )
        for rows in parts
    )
    return train, test
