"""The random order of the training images, cut into batches."""

import torch

from eagleeye.errors import ConfigError, DataError
from eagleeye.train import augment
from eagleeye.train.recipe import Recipe


def epoch_plan(count: int, recipe: Recipe, epoch: int, world: int = 1) -> list[torch.Tensor]:
    """Split a random order of the images into the batches of one epoch.

    Batch norm needs two images in every process: a last batch too small for that is dropped, and so are the
    few images that would give the processes unequal parts of it.

    Args:
        count: Number of images.
        recipe: Batch size (over all processes) and seed.
        epoch: Epoch, counted from 0.
        world: Number of processes.

    Returns:
        One int64 tensor of image positions per step.

    Raises:
        ConfigError: The batch cannot be shared out among the processes.
        DataError: There are too few images for a single batch.
    """
    if recipe.batch_size % world or recipe.batch_size < 2 * world:
        raise ConfigError(
            f"batch_size {recipe.batch_size} cannot be shared out among {world} processes: use a multiple of "
            f"{world}, at least {2 * world}"
        )
    if count < 2 * world:
        raise DataError(f"{count} training images are too few: at least {2 * world} are needed")
    order = torch.randperm(count, generator=augment.generator(recipe.seed, epoch))
    plan = list(torch.split(order, recipe.batch_size))
    plan[-1] = plan[-1][: len(plan[-1]) // world * world]
    return plan if len(plan[-1]) >= 2 * world else plan[:-1]
