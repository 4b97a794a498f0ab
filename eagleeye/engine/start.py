"""The layers before the first that loses channels: run once per image, for all candidates."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import torch
from torch import Tensor, fx

from eagleeye.data import Batches
from eagleeye.engine.adaptable import Adaptable
from eagleeye.scoring.batchnorm import adapt_batch_norm

MEMORY_SHARE = 0.25
"""Share of the free memory that the activations may take."""


class Start:
    """Activations in the images' place; any number of threads may ask at a time.

    Recalibration of these layers does not depend on what follows them, so that their outputs for the calibration
    images, and for the sub-validation images after so many calibration images, are the same for all candidates.

    Args:
        layers: From `eagleeye.engine.split`; changed.
        dtype: Precision of convolutions and linear layers.
        calibration: Images that re-estimate BN statistics.
        sub_validation: Images whose labels are predicted.
    """

    def __init__(
        self,
        layers: fx.GraphModule,
        dtype: torch.dtype,
        calibration: Batches[Tensor],
        sub_validation: Batches[tuple[Tensor, Tensor]],
    ) -> None:
        self._layers = Adaptable(layers, dtype)
        self._calibration = calibration
        self._sub_validation = sub_validation
        self._statistics = {0: self._layers.statistics()}
        self._batches: dict[tuple[int, int], Tensor] = {}
        self._parts: dict[tuple[int, int, int], Tensor] = {}
        self._lock = threading.Lock()

    def between(self, start: int, stop: int) -> Iterator[Tensor]:
        """The activations of calibration images, batch by batch; see `Batches.between`."""
        with self._lock:
            self._recalibrate(stop)
            # Copies: what follows may compute in place, and every candidate is to find the same.
            return (self._batches[place].clone() for place in self._places(stop) if place[0] >= start)

    def part(self, start: int, stop: int, seen: int) -> tuple[Tensor, Tensor]:
        """The activations of sub-validation images with their labels; see `Batches.part`.

        Args:
            start: The first image.
            stop: The image after the last.
            seen: Calibration images that these layers' statistics are of; 0: the trained network's.
        """
        with self._lock:
            if seen and not any(place[0] == seen for place in self._parts):
                # The next rung of a race: nobody asks for the former one's any more.
                self._parts = {place: kept for place, kept in self._parts.items() if place[0] == 0}
            if (seen, start, stop) not in self._parts:
                self._recalibrate(seen)
                self._layers.restore(self._statistics[seen])
                inputs, _ = self._sub_validation.part(start, stop)
                with torch.inference_mode():
                    self._parts[seen, start, stop] = self._finished(self._layers.fold()(inputs))
            return self._parts[seen, start, stop].clone(), self._sub_validation.labels[start:stop]

    def regroup(self, calibration: Batches[Tensor]) -> None:
        """Take other calibration batches, of fewer images, and forget what was computed with the former ones.

        Args:
            calibration: The same images in other batches.
        """
        with self._lock:
            self._calibration = calibration
            self._statistics = {0: self._statistics[0]}
            self._batches = {}
            self._parts = {}

    def _recalibrate(self, stop: int) -> None:
        """Run calibration images through the layers as far as that has not been done."""
        for start, end in self._places(stop):
            if (start, end) not in self._batches:
                self._layers.restore(self._statistics[start])
                self._batches[start, end] = self._run(self._calibration.part(start, end), start)
                self._statistics[end] = self._layers.statistics()

    def _run(self, batch: Tensor, seen: int) -> Tensor:
        if not self._layers.norms:
            with torch.inference_mode():
                return self._finished(self._layers.network(batch))
        outputs: list[Tensor] = []
        hook = self._layers.network.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
        try:
            adapt_batch_norm(self._layers.network, [batch], seen=seen)
        finally:
            hook.remove()
        return self._finished(outputs[0])

    def _places(self, stop: int) -> list[tuple[int, int]]:
        size = self._calibration.batch_size
        stop = min(stop, len(self._calibration.labels))
        return [(start, min(start + size, stop)) for start in range(0, stop, size)]

    def _finished(self, activations: Tensor) -> Tensor:
        if activations.is_cuda:
            # Candidates on other streams read it.
            torch.cuda.current_stream().synchronize()
        return activations


def fits(layers: fx.GraphModule, example: Tensor, images: int) -> bool:
    """Whether the activations of so many images can be kept.

    Args:
        layers: The layers, in evaluation mode.
        example: One input (1, C, H, W) on its device.
        images: Calibration and sub-validation images.
    """
    with torch.inference_mode():
        output = layers(example)
    if not isinstance(output, Tensor) or output.dim() == 0 or len(output) != len(example):
        return False
    return bool(output.nbytes * images <= MEMORY_SHARE * free_bytes(example.device))


def free_bytes(device: torch.device) -> int:
    """The free memory of a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
