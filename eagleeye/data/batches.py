"""Decoded images as normalised batches on a device."""

from collections.abc import Iterator
from typing import Generic, Literal, TypeVar, cast, overload

import torch
from torch import Tensor

from eagleeye.data.images import Images, Preprocess
from eagleeye.errors import ConfigError, DataError

Item = TypeVar("Item")
Labelled = tuple[Tensor, Tensor]


class Batches(Generic[Item]):
    """Batches in a fixed order, as often as asked for.

    The images lie on the device as bytes, a quarter of what floats take, and are normalised batch by batch.

    Args:
        images: Decoded images (n, 3, h, w).
        preprocess: Gives mean and std.
        batch_size: Images per batch; the last batch may be smaller.
        device: Where the batches are wanted.
        labelled: Whether to yield pairs (inputs, labels) or inputs alone.

    Yields:
        float32 inputs (batch_size, 3, h, w), normalised; int64 labels (batch_size,).
    """

    @overload
    def __init__(
        self: "Batches[Tensor]",
        images: Images,
        preprocess: Preprocess,
        *,
        batch_size: int,
        device: torch.device | str,
        labelled: Literal[False],
    ) -> None: ...
    @overload
    def __init__(
        self: "Batches[Labelled]",
        images: Images,
        preprocess: Preprocess,
        *,
        batch_size: int,
        device: torch.device | str,
        labelled: Literal[True],
    ) -> None: ...
    def __init__(
        self,
        images: Images,
        preprocess: Preprocess,
        *,
        batch_size: int,
        device: torch.device | str,
        labelled: bool,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1; got {batch_size}")
        if not len(images):
            raise DataError("there are no images to make batches of")
        self.batch_size, self.labelled = batch_size, labelled
        # Channels last in memory: convolutions of small images run up to 1.5 times as fast, on CPUs and GPUs.
        self.pixels = images.pixels.to(device, memory_format=torch.channels_last)
        self.labels = images.labels.to(device)
        self.mean, self.std = (
            torch.tensor(values, dtype=torch.float32, device=device).view(1, -1, 1, 1)
            for values in (preprocess.mean, preprocess.std)
        )

    def __len__(self) -> int:
        """Number of batches."""
        return (len(self.labels) + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[Item]:
        for start in range(0, len(self.labels), self.batch_size):
            part = slice(start, start + self.batch_size)
            inputs = self.pixels[part].to(torch.float32).div_(255).sub_(self.mean).div_(self.std)
            yield cast(Item, (inputs, self.labels[part]) if self.labelled else inputs)
