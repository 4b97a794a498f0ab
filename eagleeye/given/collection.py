"""Images that can be asked for by number, wherever they lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from eagleeye.data import Images, ImageSet, Preprocess, decode
from eagleeye.data.images import Labels, Targets
from eagleeye.errors import DataError, EagleEyeError
from eagleeye.forward.structures import joined
from eagleeye.given.listed import collating, pair_of
from eagleeye.references import described

AT_A_TIME = 64
Tell = Callable[[int, int], None]
"""Told how many of how many images have been read."""


class Collection(ABC):
    """Images by number, with targets or without.

    Attributes:
        labels: One class for each, int64 (N,), where the targets are classes.
        classes: Names of the classes, where they have any.
        preprocess: How pixels become inputs; None: the images are inputs already.
        remarks: What the user should know about them.
    """

    def __init__(
        self,
        labels: Labels | None,
        preprocess: Preprocess | None,
        classes: Sequence[str] = (),
        remarks: Sequence[str] = (),
    ) -> None:
        self.labels = labels
        self.preprocess = preprocess
        self.classes = tuple(classes)
        self.remarks = tuple(remarks)

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def parts(self, plan: Sequence[Labels]) -> Iterator[Tensor]:
        """Images in batches, in memory.

        Args:
            plan: Row numbers of each batch.

        Yields:
            Bytes for the preprocess, uint8 (n, channels, h, w), or inputs, floating point (n, channels, …).

        Raises:
            DataError: An image cannot be read.
        """

    @property
    def labelled(self) -> bool:
        """Whether the images come with targets."""
        return self.labels is not None

    def pairs(self, plan: Sequence[Labels]) -> Iterator[tuple[Tensor, Targets]]:
        """Images with their targets in batches; see `parts`. Targets that are not known are zeros.

        Args:
            plan: Row numbers of each batch.
        """
        for rows, images in zip(plan, self.parts(plan), strict=True):
            yield images, self.targets_of(rows)

    def read(self, rows: Labels, tell: Tell = lambda done, of: None) -> Images:
        """Some images, with their targets; without any these are zeros.

        Args:
            rows: Row numbers.
            tell: Told how far it is.

        Returns:
            The images in the order of the rows.

        Raises:
            DataError: An image cannot be read, is of another size than the others, or holds NaN or infinity.
        """
        # Random transforms, where a data set has any, draw the same every time, and not from the user's numbers.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self._read(rows, tell)

    def _read(self, rows: Labels, tell: Tell) -> Images:
        plan = [rows[start : start + AT_A_TIME] for start in range(0, len(rows), AT_A_TIME)]
        pixels: Tensor | None = None
        targets: list[Targets] = []
        done = 0
        for part, wanted in self.pairs(plan):
            pixels = torch.empty(len(rows), *part.shape[1:], dtype=part.dtype) if pixels is None else pixels
            if part.shape[1:] != pixels.shape[1:]:
                raise DataError(
                    f"images: image {rows[done]} has shape {tuple(part.shape[1:])}, others {tuple(pixels.shape[1:])};"
                    " bring all to one size"
                )
            pixels[done : done + len(part)] = part
            _require_numbers(part, rows[done : done + len(part)])
            _require_alike(wanted, targets, rows[done])
            targets.append(wanted)
            done += len(part)
            tell(done, len(rows))
        if pixels is None:
            raise DataError("images: there are none")
        return Images(pixels, joined(targets, listed=isinstance(targets[0], list)))

    def targets_of(self, rows: Labels) -> Targets:
        """The targets of some images that are known without reading these, (n, …); else zeros, int64 (n,)."""
        return torch.from_numpy(np.zeros(len(rows), np.int64) if self.labels is None else self.labels[rows])


class Tensors(Collection):
    """Images that are in memory as one tensor."""

    def __init__(
        self, pixels: Tensor, labels: Labels | None, preprocess: Preprocess | None, targets: Targets = None
    ) -> None:
        super().__init__(labels, preprocess)
        self.pixels = pixels
        self._targets = targets

    @property
    def labelled(self) -> bool:
        """See `Collection.labelled`."""
        return self.labels is not None or self._targets is not None

    def targets_of(self, rows: Labels) -> Targets:
        """See `Collection.targets_of`."""
        if isinstance(self._targets, list):
            return [self._targets[row] for row in rows]
        return super().targets_of(rows) if self._targets is None else self._targets[torch.from_numpy(rows)]

    def __len__(self) -> int:
        return len(self.pixels)

    def parts(self, plan: Sequence[Labels]) -> Iterator[Tensor]:
        """See `Collection.parts`."""
        return (self.pixels[torch.from_numpy(rows).to(self.pixels.device)].cpu() for rows in plan)


class Pictures(Collection):
    """Encoded images: files in folders, data sets of pictures."""

    def __init__(self, images: ImageSet, labelled: bool, preprocess: Preprocess) -> None:
        labels = np.asarray(images.labels, np.int64) if labelled else None
        super().__init__(labels, preprocess, images.classes if labelled else (), getattr(images, "remarks", ()))
        self.images = images
        self.shape = preprocess

    def __len__(self) -> int:
        return len(self.images)

    def parts(self, plan: Sequence[Labels]) -> Iterator[Tensor]:
        """See `Collection.parts`."""
        return (decode(self.images, rows, self.shape).pixels for rows in plan)


class Items(Collection):
    """A map-style data set whose items hold tensors."""

    def __init__(
        self,
        dataset: Dataset[Any],
        labels: Labels | None,
        preprocess: Preprocess | None,
        *,
        collate: Callable[[list[Any]], Any] | None = None,
        workers: int = 0,
        paired: bool = False,
        listed: bool = False,
    ) -> None:
        super().__init__(labels, preprocess)
        self.paired = paired
        self.listed = listed
        self.dataset = dataset
        self.collate = collating(collate) if listed else collate
        self.workers = workers

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    @property
    def labelled(self) -> bool:
        """See `Collection.labelled`."""
        return self.labels is not None or self.paired

    def parts(self, plan: Sequence[Labels]) -> Iterator[Tensor]:
        """See `Collection.parts`."""
        return (images for images, _ in self.pairs(plan))

    def pairs(self, plan: Sequence[Labels]) -> Iterator[tuple[Tensor, Targets]]:
        """See `Collection.pairs`."""
        for rows, batch in zip(plan, loaded(self, plan), strict=True):
            if self.listed:
                yield pair_of(batch, rows)
                continue
            images = batch[0] if isinstance(batch, list | tuple) else batch
            if not isinstance(images, Tensor) or len(images) != len(rows):
                raise DataError(
                    f"images: {len(rows)} items of the data set make a {type(images).__name__}; needed is a tensor with"
                    " one image for each"
                )
            yield images, self._targets(batch, rows) if self.paired else self.targets_of(rows)

    def _targets(self, batch: Any, rows: Labels) -> Tensor:
        targets = batch[1]
        if not isinstance(targets, Tensor) or len(targets) != len(rows):
            raise DataError(
                f"images: the targets of {len(rows)} items of the data set make a {type(targets).__name__}; needed is a"
                " tensor with one entry for each: give the loader a collate_fn that makes one"
            )
        return targets


def loaded(items: Items, plan: Sequence[Labels]) -> Iterator[Any]:
    """Batches of a data set, as its loader makes them of items; what it raises is told with a row.

    Args:
        items: The data set.
        plan: Row numbers of each batch.
    """
    loader: DataLoader[Any] = DataLoader(
        items.dataset,
        batch_sampler=[rows.tolist() for rows in plan],
        collate_fn=items.collate,
        num_workers=items.workers if len(plan) > 1 else 0,
        # Without a generator of its own it would draw from the user's.
        generator=torch.Generator().manual_seed(0),
    )
    batches = iter(loader)
    for rows in plan:
        try:
            batch = next(batches)
        except EagleEyeError:
            raise
        except Exception as error:
            raise DataError(
                f"images: reading items {rows[0]} to {rows[-1]} of the data set failed: {described(error)}"
            ) from error
        yield batch


def _require_alike(targets: Targets, others: Sequence[Targets], row: int) -> None:
    if isinstance(targets, list):  # as many boxes as there are
        return
    if others and targets.shape[1:] != others[0].shape[1:]:
        raise DataError(
            f"images: from image {row} on targets have shape {tuple(targets.shape[1:])}, before it"
            f" {tuple(others[0].shape[1:])}; bring all to one size"
        )
    if targets.is_floating_point() and not bool(torch.isfinite(targets).all()):
        raise DataError(f"images: among the targets from image {row} on there are NaN or infinite values; repair them")


def _require_numbers(images: Tensor, rows: Labels) -> None:
    if not images.is_floating_point():
        return
    wrong = ~torch.isfinite(images.flatten(1)).all(1)
    if wrong.any():
        raise DataError(
            f"images: image {rows[int(wrong.nonzero()[0])]} holds NaN or infinite values ({int(wrong.sum())} of these"
            f" {len(rows)} do); repair it or leave it out"
        )
