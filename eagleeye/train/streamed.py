"""Training images that are decoded while training."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.context import BaseContext

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from eagleeye.data import ImageSet, Preprocess, decode
from eagleeye.data.images import Labels
from eagleeye.data.targets import targets_of, usable
from eagleeye.errors import ConfigError, DataError
from eagleeye.forward.cores import usable_cores
from eagleeye.forward.structures import mapped
from eagleeye.train import augment
from eagleeye.train.data import Batch, TrainData
from eagleeye.train.recipe import Recipe


class StreamedData(TrainData):
    """Images that stay encoded and are decoded by worker processes, batch by batch."""

    def __init__(
        self,
        images: ImageSet,
        rows: Sequence[int] | Labels,
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
            workers: Decoding processes; 0 decodes in this one. By default one per CPU core, at most 8. They import the
                script that is running: what it does stands behind `if __name__ == "__main__":`.
        """
        self.images = images
        self.preprocess = preprocess
        self.rows = np.asarray(rows, dtype=np.int64)
        self.workers = min(8, usable_cores()) if workers is None else workers
        super().__init__(torch.from_numpy(np.asarray(images.labels)[self.rows]), preprocess, device)

    def _load(self, plan: list[torch.Tensor], recipe: Recipe, epoch: int) -> Iterator[Batch]:
        loader: DataLoader[Batch | DataError] = DataLoader(
            _Decoder(self.images, self.rows, self.preprocess, recipe, epoch),
            sampler=[positions.tolist() for positions in plan],
            batch_size=None,
            num_workers=self.workers,
            multiprocessing_context=_own_processes() if self.workers else None,
            worker_init_fn=_end_with_parent,
            pin_memory=self.device.type == "cuda",
            # Without its own generator the loader would draw from the global one and shift dropout masks.
            generator=augment.generator(recipe.seed, epoch),
        )
        for loaded in loader:
            if isinstance(loaded, DataError):
                raise loaded
            pixels, labels = loaded
            targets = mapped(labels, lambda tensor: tensor.to(self.device, non_blocking=True))
            yield pixels.to(self.device, non_blocking=True), usable(targets)


def _own_processes() -> BaseContext:
    """Processes that inherit nothing of this one: no threads half copied, no locks, nothing of a tracker or a GPU."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Imported once, in the server that workers are forked from, instead of in every one of them in every epoch. They
    # import the program, too, where it was started by its module's name.
    program = getattr(sys.modules["__main__"], "__spec__", None)
    context.set_forkserver_preload([__name__, "torchvision.transforms.v2", *([program.name] if program else [])])
    return context


def _end_with_parent(_worker: int) -> None:
    """End a worker with the process that waits for it: torch's own watch is for the one it was forked from."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Decoder(Dataset[Batch | DataError]):
    """Runs in the workers: a list of positions becomes decoded pixels and labels."""

    def __init__(self, images: ImageSet, rows: np.ndarray, preprocess: Preprocess, recipe: Recipe, epoch: int) -> None:
        self.images = images
        self.rows = rows
        self.preprocess = preprocess
        self.recipe = recipe
        self.epoch = epoch

    def __getitem__(self, positions: list[int]) -> Batch | DataError:
        try:
            if self.recipe.augment == "resized_crop":
                targets = targets_of(self.images, self.rows[positions], self.preprocess)
                return torch.stack([self._crop(position) for position in positions]), targets
            decoded = decode(self.images, self.rows[positions].tolist(), self.preprocess)
            return decoded.pixels, decoded.labels
        except DataError as error:
            # Raised in a worker it would reach the user wrapped in the worker's traceback.
            return error

    def _crop(self, position: int) -> torch.Tensor:
        """Cut, resize and mirror one picture, seeded by its position: workers then do not matter."""
        original = Preprocess(size=None, resize=None, mean=self.preprocess.mean, std=self.preprocess.std)
        picture = decode(self.images, [int(self.rows[position])], original).pixels[0]
        size = self.preprocess.size
        if size is None:
            raise ConfigError("augment 'resized_crop' needs the size of the network's input, but size is None")
        from torchvision.transforms import v2

        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(augment.generator(self.recipe.seed, self.epoch, position).get_state())
            cut = v2.Compose([v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()])
            result: torch.Tensor = cut(picture)
            return result
