"""Where the training images come from: decoded before, or while training."""

from collections.abc import Sequence
from pathlib import Path

import torch

from eagleeye.data import ImageSet, Preprocess, decode, decode_to
from eagleeye.data.images import Labels
from eagleeye.errors import DataError
from eagleeye.train.data import DecodedData, TrainData
from eagleeye.train.recipe import Recipe
from eagleeye.train.streamed import StreamedData


def open_training(
    images: ImageSet,
    rows: Sequence[int] | Labels,
    preprocess: Preprocess,
    recipe: Recipe,
    *,
    device: str | torch.device,
    store: str | Path | None = None,
    decoded_limit_bytes: int = 4 * 2**30,
    workers: int | None = None,
) -> TrainData:
    """Choose how to keep the training images: decoded, or streamed if that would take too much room.

    Args:
        images: The encoded training set.
        rows: Rows to train on, i.e. without the sub-validation images.
        preprocess: Size, mean and standard deviation of the network's input.
        recipe: Its ``resized_crop`` needs the original pictures, which are always streamed.
        device: Device of the training.
        store: File for the decoded images, for `decode_to`: later runs, and the other processes of this one, do not
            decode again. By default they are decoded into memory.
        decoded_limit_bytes: Largest decoded set to keep.
        workers: Decoding processes of the streamed kind; see `StreamedData`.

    Returns:
        The training data.

    Raises:
        ArtifactError: `store` cannot be written.
        DataError: There is no image to train on, or the first cannot be decoded.
    """
    if len(rows) == 0:
        raise DataError("no training image is left: make the sub-validation subset smaller")
    if recipe.augment != "resized_crop":
        first = decode(images, [int(rows[0])], preprocess).pixels
        if first.numel() * len(rows) <= decoded_limit_bytes:
            kept = decode_to(store, images, rows, preprocess) if store else decode(images, rows, preprocess)
            return DecodedData(kept, preprocess, device)
    return StreamedData(images, rows, preprocess, device, workers=workers)
