"""Training images of a collection, in whatever form, read anew in every epoch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from eagleeye.data import Preprocess
from eagleeye.data.images import Labels
from eagleeye.data.targets import usable
from eagleeye.errors import ConfigError
from eagleeye.forward.structures import mapped
from eagleeye.given.collection import Collection
from eagleeye.train.data import Batch, TrainData
from eagleeye.train.recipe import Recipe


class CollectedData(TrainData):
    """Images of a collection, read batch by batch."""

    def __init__(self, images: Collection, rows: Labels, device: torch.device) -> None:
        """Remember which images to read.

        Args:
            images: The collection.
            rows: Row numbers of the training images.
            device: Where batches are wanted.
        """
        shape: Preprocess | None = images.preprocess
        super().__init__(images.targets_of(rows), shape, device)
        self._images = images
        self._rows = rows

    def _load(self, plan: list[Tensor], recipe: Recipe, epoch: int) -> Iterator[Batch]:
        if recipe.augment == "resized_crop":
            raise ConfigError("augment 'resized_crop' cuts from the original pictures: give a folder, or 'shift_flip'")
        wanted = [self._rows[positions.numpy()] for positions in plan]
        for pixels, targets in self._images.pairs(wanted):
            if recipe.augment != "none" and pixels.dim() != 4:
                raise ConfigError(f"augment '{recipe.augment}' moves pictures, and these are none: use 'none'")
            yield pixels.to(self.device, non_blocking=True), mapped(targets, self._moved)

    def _moved(self, targets: Tensor) -> Tensor:
        moved: Tensor = usable(targets.to(self.device, non_blocking=True))
        return moved
