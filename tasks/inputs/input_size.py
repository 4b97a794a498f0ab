"""Is the network's input as large as the images suggest? Else the preprocessing was left from other data."""

import numpy as np

from eagleeye.data import ImageSet
from eagleeye.data.sizes import short_sides
from eagleeye.errors import ConfigError
from tasks.params import Params
from tasks.run.context import Context

LOOKED_AT = 256  # images that show how large all are
SMALL = 64  # inputs from this side on are common for images of any size
FAR_SMALLER, SMALLER = 3, 2  # times the input fits into the images


def check_input_size(params: Params, images: ImageSet, rows: np.ndarray, context: Context) -> None:
    """Compare the network's input with the images.

    Args:
        params: The settings.
        images: The training images.
        rows: Some of their rows.
        context: Warned of an input that is smaller than the images.

    Raises:
        ConfigError: It is far smaller, and the settings do not say that this is meant.
    """
    side = params.data.preprocess.resize or params.data.preprocess.size
    if side is None or side >= SMALL or params.data.confirmed:
        return
    sides = short_sides(images, rows[:LOOKED_AT])
    median = int(np.median(sides)) if len(sides) else 0
    if median >= SMALLER * side:
        line = (
            f"data.preprocess makes inputs of {side} pixels from images of {median} (the short side, median), as if it "
            "were left from other data: set size, resize, mean and std to what the network was trained with"
        )
        if median >= FAR_SMALLER * side:
            raise ConfigError(f"{line}, or data.confirmed to true if it is meant")
        context.warn(line)
