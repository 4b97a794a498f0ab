"""Training images in random order: kept on the device when they fit, otherwise decoded while training.

Both kinds deliver the same batches for the same recipe. The order depends on (seed, epoch) alone and the
augmentation on (seed, epoch, step), so a run resumed at any epoch sees what an undisturbed one sees.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from eagleeye.data import Images, ImageSet, Preprocess, decode
from eagleeye.errors import ConfigError, DataError
from eagleeye.train import augment
from eagleeye.train.distributed import Share
from eagleeye.train.recipe import Recipe

Batch = tuple[torch.Tensor, torch.Tensor]


class TrainData(ABC):
    """Training images of one size, in batches of a random order, augmented and normalised on the device."""

    def __init__(self, labels: torch.Tensor, preprocess: Preprocess, device: str | torch.device) -> None:
        """Keep what both kinds share.

        Args:
            labels: int64 (n,), one per image.
            preprocess: Size, mean and standard deviation of the network's input.
            device: Where the batches go.
        """
        self.labels = labels
        self.device = torch.device(device)
        self.mean = torch.tensor(preprocess.mean, device=self.device).view(1, -1, 1, 1)
        self.std = torch.tensor(preprocess.std, device=self.device).view(1, -1, 1, 1)

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
            Images float32 (n, 3, h, w), normalised, channels last in memory; labels int64 (n,).
        """
        plan = epoch_plan(len(self), recipe, epoch, share.world)
        mine = [rows[share.rank :: share.world] for rows in plan]
        for step, (pixels, labels) in enumerate(self._load(mine, recipe, epoch)):
            source = augment.generator(recipe.seed, epoch, step)
            side = (pixels.shape[2], pixels.shape[3])
            changes = augment.draw(recipe.augment, len(plan[step]), side, source)[share.rank :: share.world]
            images = augment.apply(pixels, changes).contiguous(memory_format=torch.channels_last)
            yield images.float().div_(255).sub_(self.mean).div_(self.std), labels

    @abstractmethod
    def _load(self, plan: list[torch.Tensor], recipe: Recipe, epoch: int) -> Iterator[Batch]:
        """Yield uint8 pixels (n, 3, h, w) and labels (n,) on the device, for each int64 (n,) of positions."""


class ResidentData(TrainData):
    """Images that lie decoded on the device, one byte per channel of a pixel."""

    def __init__(self, images: Images, preprocess: Preprocess, device: str | torch.device) -> None:
        """Move the decoded images to the device.

        Args:
            images: Pixels uint8 (n, 3, h, w) and labels int64 (n,).
            preprocess: How the images were decoded; gives mean and standard deviation.
            device: Where the images live and the batches are made.
        """
        super().__init__(images.labels.to(device), preprocess, device)
        self.pixels = images.pixels.to(device)

    def _load(self, plan: list[torch.Tensor], recipe: Recipe, epoch: int) -> Iterator[Batch]:
        if recipe.augment == "resized_crop":
            raise ConfigError(
                "augment 'resized_crop' cuts from the original pictures: use StreamedData, or 'shift_flip'"
            )
        for positions in plan:
            rows = positions.to(self.device, non_blocking=True)
            yield self.pixels[rows], self.labels[rows]


class StreamedData(TrainData):
    """Images that stay encoded and are decoded by worker processes, batch by batch."""

    def __init__(
        self,
        images: ImageSet,
        rows: Sequence[int],
        preprocess: Preprocess,
        device: str | torch.device,
        *,
        workers: int | None = None,
    ) -> None:
        """Remember which images to read.

        Args:
            images: The encoded images.
            rows: Row numbers of the training images.
            preprocess: Size, mean and standard deviation of the network's input.
            device: Where the batches go.
            workers: Decoding processes; 0 decodes in this one. By default one per CPU core, at most 8.
        """
        self.images, self.preprocess = images, preprocess
        self.rows = np.asarray(rows, dtype=np.int64)
        self.workers = min(8, os.cpu_count() or 1) if workers is None else workers
        super().__init__(torch.from_numpy(np.asarray(images.labels)[self.rows]), preprocess, device)

    def _load(self, plan: list[torch.Tensor], recipe: Recipe, epoch: int) -> Iterator[Batch]:
        loader: DataLoader[Batch | DataError] = DataLoader(
            _Decoder(self.images, self.rows, self.preprocess, recipe, epoch),
            sampler=[positions.tolist() for positions in plan],
            batch_size=None,
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            # Without its own generator the loader would draw from the global one and shift dropout masks.
            generator=augment.generator(recipe.seed, epoch),
        )
        for loaded in loader:
            if isinstance(loaded, DataError):
                raise loaded
            pixels, labels = loaded
            yield pixels.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)


class _Decoder(Dataset[Batch | DataError]):
    """Runs in the workers: a list of positions becomes decoded pixels and labels."""

    def __init__(self, images: ImageSet, rows: np.ndarray, preprocess: Preprocess, recipe: Recipe, epoch: int) -> None:
        self.images, self.rows, self.preprocess = images, rows, preprocess
        self.recipe, self.epoch = recipe, epoch

    def __getitem__(self, positions: list[int]) -> Batch | DataError:
        try:
            if self.recipe.augment == "resized_crop":
                return torch.stack([self._crop(position) for position in positions]), self._labels(positions)
            decoded = decode(self.images, self.rows[positions].tolist(), self.preprocess)
            return decoded.pixels, decoded.labels
        except DataError as error:
            # Raised in a worker it would reach the user wrapped in the worker's traceback.
            return error

    def _labels(self, positions: list[int]) -> torch.Tensor:
        return torch.from_numpy(np.asarray(self.images.labels)[self.rows[positions]])

    def _crop(self, position: int) -> torch.Tensor:
        """Cut, resize and mirror one picture, seeded by its position: workers then do not matter."""
        original = Preprocess(size=None, resize=None, mean=self.preprocess.mean, std=self.preprocess.std)
        picture = decode(self.images, [int(self.rows[position])], original).pixels[0]
        size = self.preprocess.size
        if size is None:
            raise ConfigError("augment 'resized_crop' needs the size of the network's input, but size is None")
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(augment.generator(self.recipe.seed, self.epoch, position).get_state())
            cut = v2.Compose([v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()])
            result: torch.Tensor = cut(picture)
            return result


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


def open_training(
    images: ImageSet,
    rows: Sequence[int],
    preprocess: Preprocess,
    recipe: Recipe,
    *,
    device: str | torch.device,
    resident_limit_bytes: int = 4 * 2**30,
    workers: int | None = None,
) -> TrainData:
    """Choose how to keep the training images: decoded on the device if they fit, otherwise streamed.

    Args:
        images: The encoded training set.
        rows: Rows to train on, i.e. without the sub-validation images.
        preprocess: Size, mean and standard deviation of the network's input.
        recipe: Its ``resized_crop`` needs the original pictures, which are always streamed.
        device: Device of the training.
        resident_limit_bytes: Largest decoded set to keep on the device, in bytes.
        workers: Decoding processes of the streamed kind; see `StreamedData`.

    Returns:
        The training data.

    Raises:
        DataError: There is no image to train on, or the first cannot be decoded.
    """
    if len(rows) == 0:
        raise DataError("no training image is left: make the sub-validation subset smaller")
    if recipe.augment != "resized_crop":
        first = decode(images, [int(rows[0])], preprocess).pixels
        if first[0].numel() * len(rows) <= resident_limit_bytes:
            return ResidentData(decode(images, rows, preprocess), preprocess, device)
    return StreamedData(images, rows, preprocess, device, workers=workers)
