"""Is the network's input as large as the images suggest? Else the preprocessing was left from other data."""

import numpy as np

from eagleeye.data import ImageSet, Preprocess
from eagleeye.data.sizes import FAR_SMALLER, SMALLER, times_smaller
from eagleeye.errors import ConfigError
from tasks.params import Params
from tasks.run.context import Context


def check_input_size(
    params: Params, shape: Preprocess | None, images: ImageSet, rows: np.ndarray, context: Context
) -> None:
    """Compare the network's input with the images.

    Args:
        params: The settings.
        shape: How images become inputs; None: they are.
        images: The training images.
        rows: Some of their rows.
        context: Warned of an input that is smaller than the images.

    Raises:
        ConfigError: It is far smaller, and the settings do not say that this is meant.
    """
    if params.data.confirmed or shape is None:
        return
    side = shape.resize or shape.size
    median, times = times_smaller(images, rows, side)
    if times >= SMALLER:
        line = (
            f"data.preprocess makes inputs of {side} pixels from images of {median} (the short side, median), as if it "
            "were left from other data: set size, resize, mean and std to what the network was trained with"
        )
        if times >= FAR_SMALLER:
            raise ConfigError(f"{line}, or data.confirmed to true if it is meant")
        context.warn(line)
