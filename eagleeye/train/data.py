"""Training images in random order, augmented and normalised on the device.

All kinds deliver the same batches for the same recipe. The order depends on (seed, epoch) alone and the
augmentation on (seed, epoch, step), so a run resumed at any epoch sees what an undisturbed one sees.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch

from eagleeye.data import Images, Preprocess
from eagleeye.data.images import Targets
from eagleeye.data.normalise import Normaliser, Unchanged
from eagleeye.data.residence import resident, uploaded
from eagleeye.data.targets import usable
from eagleeye.errors import ConfigError
from eagleeye.forward.structures import mapped
from eagleeye.train import augment
from eagleeye.train.distributed import Share
from eagleeye.train.order import epoch_plan
from eagleeye.train.recipe import Recipe

Batch = tuple[torch.Tensor, Targets]


class TrainData(ABC):
    """Training images of one size, in batches of a random order, augmented and normalised on the device."""

    def __init__(self, labels: Targets, preprocess: Preprocess | None, device: str | torch.device) -> None:
        """Keep what both kinds share.

        Args:
            labels: int64 (n,), one per image, or other targets.
            preprocess: Size, mean and standard deviation of the network's input; None: images are inputs already.
            device: Where the batches go.
        """
        self.labels = labels
        self.device = torch.device(device)
        self.normalise = Unchanged() if preprocess is None else Normaliser(preprocess, self.device)

    def __len__(self) -> int:
        """Number of training images."""
        return len(self.labels)

    def steps(self, recipe: Recipe, share: Share) -> int:
        """Number of batches in every epoch.

        Args:
            recipe: Batch size.
            share: Number of processes.

        Returns:
            The length of what `batches` yields.
        """
        return len(epoch_plan(len(self), recipe, 0, share.world))

    def batches(self, recipe: Recipe, epoch: int, share: Share) -> Iterator[Batch]:
        """The batches of one epoch.

        Args:
            recipe: Batch size, augmentation and seed.
            epoch: Epoch, counted from 0.
            share: This process's part of every batch.

        Yields:
            Images float32 (n, channels, h, w), normalised, channels last in memory; labels int64 (n,).
        """
        plan = epoch_plan(len(self), recipe, epoch, share.world)
        mine = [rows[share.rank :: share.world] for rows in plan]
        for step, (pixels, labels) in enumerate(self._load(mine, recipe, epoch)):
            source = augment.generator(recipe.seed, epoch, step)
            side = (pixels.shape[-2], pixels.shape[-1])
            changes = augment.draw(recipe.augment, len(plan[step]), side, source)[share.rank :: share.world]
            yield self.normalise(augment.apply(pixels, changes)), labels

    @abstractmethod
    def _load(self, plan: list[torch.Tensor], recipe: Recipe, epoch: int) -> Iterator[Batch]:
        """Yield pixels (n, channels, h, w) and labels (n,) on the device, for each int64 (n,) of positions."""


class DecodedData(TrainData):
    """Images that are decoded already, one byte per channel of a pixel: on the device if they fit there."""

    def __init__(self, images: Images, preprocess: Preprocess, device: str | torch.device) -> None:
        """Move the decoded images to the device, unless they are too many for it.

        Args:
            images: Pixels uint8 (n, channels, h, w) and labels int64 (n,), in memory or in a file.
            preprocess: How the images were decoded; gives mean and standard deviation.
            device: Where the batches are made.
        """
        preprocess.check_pixels(images.pixels)
        super().__init__(mapped(images.labels, lambda tensor: tensor.to(device)), preprocess, device)
        self.pixels = resident(images.pixels, self.device)

    def _load(self, plan: list[torch.Tensor], recipe: Recipe, epoch: int) -> Iterator[Batch]:
        if recipe.augment == "resized_crop":
            raise ConfigError(
                "augment 'resized_crop' cuts from the original pictures: use StreamedData, or 'shift_flip'"
            )
        # Whole images lie together: chosen by index_select they are copied as such, not byte by byte.
        pictures = self.pixels.permute(0, 2, 3, 1)
        for positions in plan:
            chosen = pictures.index_select(0, positions.to(pictures.device, non_blocking=True)).permute(0, 3, 1, 2)
            yield uploaded(chosen, self.device), self._targets(positions)

    def _targets(self, positions: torch.Tensor) -> Targets:
        if isinstance(self.labels, list):
            return [self.labels[position] for position in positions.tolist()]
        return usable(self.labels[positions.to(self.device, non_blocking=True)])
