"""The unpruned network's outputs for the images that score: computed once, where they fit into memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch

from eagleeye.engine.start import free_bytes
from eagleeye.forward.structures import between, joined, tensors

MEMORY_SHARE = 0.25
"""Share of the free memory that the outputs may take: those of segmentation can be larger than any memory."""


class Unpruned:
    """Outputs of any structure, batch first; any number of threads may ask at a time."""

    def __init__(
        self, compute: Callable[[int, int], Any], images: int, device: torch.device, *, listed: bool = False
    ) -> None:
        """Compute nothing yet.

        Args:
            compute: The outputs for images from and to; called by one thread at a time.
            images: How many there are.
            device: Where the outputs lie.
            listed: Whether they are a list with an entry for each image.
        """
        self._listed = listed
        self._compute = compute
        self._images = images
        self._device = device
        self._lock = threading.Lock()
        self._known: Any = None
        self._count = 0
        self._kept: bool | None = None

    def prepare(self, stop: int, chunk: int) -> None:
        """Compute the outputs of the first images, unless they are too large to be kept.

        Args:
            stop: The image after the last.
            chunk: Images at a time; always whole chunks, so that the bits do not depend on how many images were asked
                for first.
        """
        if self._kept is False:
            return
        with self._lock:
            wanted = min(self._images, -(-stop // chunk) * chunk)
            parts = [] if self._known is None else [self._known]
            for start in range(self._count, wanted, chunk):
                end = min(start + chunk, wanted)
                found = self._compute(start, end)
                if self._kept is None:
                    self._kept = self._fits(found, end - start)
                if not self._kept:
                    return
                parts.append(found)
            if self._count < wanted:
                # Once: joined part by part, all that is known would be copied each time.
                self._known = joined(parts, listed=self._listed)
                self._count = wanted

    def between(self, start: int, stop: int) -> Any:
        """The outputs for images from and to: those that are kept, or computed now."""
        if self._kept and stop <= self._count:
            return between(self._known, start, stop, listed=self._listed)
        with self._lock:
            return self._compute(start, stop)

    def _fits(self, outputs: Any, images: int) -> bool:
        size = sum(tensor.nbytes for tensor in tensors(outputs))
        return size / images * self._images <= MEMORY_SHARE * free_bytes(self._device)
