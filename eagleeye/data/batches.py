"""Decoded images as normalised batches on a device."""

import copy
from collections.abc import Iterator
from typing import Generic, Literal, TypeVar, cast, overload

import torch
from torch import Tensor

from eagleeye.data.images import Images, Preprocess, Targets
from eagleeye.data.normalise import Normaliser, Unchanged
from eagleeye.data.residence import resident, uploaded
from eagleeye.data.targets import usable
from eagleeye.errors import ConfigError, DataError
from eagleeye.forward.structures import mapped

Item = TypeVar("Item")
Labelled = tuple[Tensor, Tensor]


class Batches(Generic[Item]):
    """Batches in a fixed order, as often as asked for.

    The images stay bytes, a quarter of what floats take, and are normalised batch by batch. They lie on the device if
    they take at most a quarter of its free memory; otherwise they stay where they are, in memory or in the file that
    `decode_to` made, and are copied batch by batch. On a CPU they are always used where they are.

    Args:
        images: Decoded images (n, channels, h, w); without a preprocess the network's inputs themselves, floating point
            (n, channels, …).
        preprocess: Gives mean and std; None: the images are taken as they are.
        batch_size: Images per batch; the last batch may be smaller.
        device: Where the batches are wanted.
        labelled: Whether to yield pairs (inputs, labels) or inputs alone.
        dtype: Type of the inputs, normalised in float32 whatever it is.

    Attributes:
        device: Where the batches lie.
        labels_known: Whether the labels are the images' own; else they are what the unpruned network takes them for.

    Yields:
        Inputs (batch_size, channels, h, w), normalised, channels last in memory; int64 labels (batch_size,), or targets
        of another kind: a tensor, batch first, or a list with an entry for each image.

    Raises:
        ConfigError: The batch size is below 1, or mean and std are of another number of channels.
        DataError: There are no images, or whole numbers without a preprocess.
    """

    @overload
    def __init__(
        self: "Batches[Tensor]",
        images: Images,
        preprocess: Preprocess | None,
        *,
        batch_size: int,
        device: torch.device | str,
        labelled: Literal[False],
        dtype: torch.dtype = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: "Batches[Labelled]",
        images: Images,
        preprocess: Preprocess | None,
        *,
        batch_size: int,
        device: torch.device | str,
        labelled: Literal[True],
        dtype: torch.dtype = ...,
    ) -> None: ...
    def __init__(
        self,
        images: Images,
        preprocess: Preprocess | None,
        *,
        batch_size: int,
        device: torch.device | str,
        labelled: bool,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1; got {batch_size}")
        if not len(images):
            raise DataError("there are no images to make batches of")
        if preprocess is not None:
            preprocess.check_pixels(images.pixels)
        elif not images.pixels.is_floating_point():
            kind = str(images.pixels.dtype).removeprefix("torch.")
            raise DataError(
                f"images: {kind} given without a preprocess; bytes need its mean and std, and inputs that are ready for"
                " the network are floating point"
            )
        self.batch_size = batch_size
        self.labelled = labelled
        # With its index, as in cuda:0.
        self.device = torch.empty(0, device=device).device
        self.labels: Targets = mapped(images.labels, lambda tensor: tensor.to(self.device))
        self.pixels = resident(images.pixels, self.device)
        self.normalise = Unchanged(dtype) if preprocess is None else Normaliser(preprocess, self.device, dtype)
        self.labels_known = True

    def __len__(self) -> int:
        """Number of batches."""
        return (len(self.labels) + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[Item]:
        return self.between(0, len(self.labels))

    def first(self, count: int) -> "Batches[Item]":
        """The batches of the first images alone; no pixel is copied.

        Args:
            count: Number of images, at least 1; all of them where there are fewer.

        Raises:
            ConfigError: There would be no image.
        """
        if count < 1:
            raise ConfigError(f"at least 1 image is needed for batches; got {count}")
        part = copy.copy(self)
        part.pixels = self.pixels[:count]
        part.labels = self.labels[:count]
        return part

    def in_precision(self, dtype: torch.dtype) -> "Batches[Item]":
        """The same batches as inputs of another type; no pixel is copied.

        Args:
            dtype: Type of the inputs.
        """
        other = copy.copy(self)
        other.normalise = self.normalise.of(dtype)
        return other

    def between(self, start: int, stop: int) -> Iterator[Item]:
        """The batches of some images, cut where the batches of all images are cut.

        Args:
            start: The first image, a multiple of the batch size.
            stop: The image after the last; those there are not are left out.

        Returns:
            The batches, the last one as long as `stop` allows.

        Raises:
            ConfigError: `start` lies within a batch.
        """
        if start < 0 or start % self.batch_size:
            raise ConfigError(f"batches of {self.batch_size} images start at multiples of that; got {start}")
        stop = min(stop, len(self.labels))
        return (self.part(place, min(place + self.batch_size, stop)) for place in range(start, stop, self.batch_size))

    def part(self, start: int, stop: int) -> Item:
        """Some images as one batch, whatever the batch size.

        Args:
            start: The first image.
            stop: The image after the last.

        Returns:
            The batch.
        """
        inputs = self.normalise(uploaded(self.pixels[start:stop], self.device))
        return cast(Item, (inputs, usable(self.labels[start:stop])) if self.labelled else inputs)
