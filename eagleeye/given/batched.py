"""Images of any form as batches for the engine, or one batch after another for what runs a network once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, overload

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from eagleeye.data import Batches, Images, Preprocess
from eagleeye.data.images import Targets
from eagleeye.errors import ConfigError
from eagleeye.forward.inputs import precision_of
from eagleeye.forward.modes import evaluating
from eagleeye.forward.running import run
from eagleeye.forward.structures import joined, mapped
from eagleeye.given.listed import is_listed
from eagleeye.given.recognise import collect, is_pair_of_sets
from eagleeye.task import CLASSIFICATION, Task

BATCH_SIZE = 128
"""Images whose statistics are averaged, where a loader does not say."""
Labelled = tuple[Tensor, Tensor]


@overload
def batches_of(
    images: Any,
    model: nn.Module,
    *,
    labelled: Literal[False],
    name: str = ...,
    preprocess: Preprocess | None = ...,
    task: Task = ...,
) -> Batches[Tensor]: ...
@overload
def batches_of(
    images: Any,
    model: nn.Module,
    *,
    labelled: Literal[True],
    name: str = ...,
    preprocess: Preprocess | None = ...,
    task: Task = ...,
) -> Batches[Labelled]: ...
def batches_of(
    images: Any,
    model: nn.Module,
    *,
    labelled: bool,
    name: str = "images",
    preprocess: Preprocess | None = None,
    task: Task = CLASSIFICATION,
) -> Batches[Any]:
    """Make batches of images, whatever form they come in.

    Args:
        images: `Batches`, which are taken as they are, or what `eagleeye.given.collect` takes; all of them are read. A
            loader's batch size is kept.
        model: The trained network: batches lie on its device. Where images have no labels, its answers stand for them,
            and `labels_known` of the batches is false.
        labelled: Whether to yield pairs (inputs, labels) or inputs alone.
        name: What to call the images in errors.
        preprocess: How pictures and bytes become inputs.
        task: What the network is for.

    Raises:
        ConfigError: Batches that yield the other kind, or as in `collect`.
        DataError: As in `collect`.
        EvaluationError: Labels are wanted and missing, and the network does not give class scores.
    """
    if isinstance(images, Batches):
        if images.labelled != labelled:
            raise ConfigError(f"{name}: the batches have labelled={images.labelled}; needed is labelled={labelled}")
        return images
    size = images.batch_size if isinstance(images, DataLoader) and images.batch_size else BATCH_SIZE
    found = collect(images, preprocess, name, task)
    read = found.read(np.arange(len(found)))
    return batched(read, model, found.preprocess, labelled=labelled, known=found.labelled, batch_size=size, task=task)


def batched(
    images: Images,
    model: nn.Module,
    preprocess: Preprocess | None,
    *,
    labelled: bool,
    known: bool,
    batch_size: int = BATCH_SIZE,
    task: Task = CLASSIFICATION,
) -> Batches[Any]:
    """Images in memory as batches on a network's device.

    Args:
        images: The images.
        model: The trained network.
        preprocess: How they become inputs; None: they are.
        labelled: Whether to yield pairs or inputs alone.
        known: Whether their labels are known; else, if there are to be any, they become the network's answers.
        batch_size: Images per batch.
        task: What the network is for.

    Raises:
        EvaluationError: Labels are wanted and missing, and the network does not give outputs of this task.
    """
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    if labelled and not known:
        alone = Batches(images, preprocess, batch_size=batch_size, device=device, labelled=False)
        images = Images(images.pixels, _answers(model, alone, task))
    made: Batches[Any] = Batches(images, preprocess, batch_size=batch_size, device=device, labelled=labelled)  # type: ignore[call-overload]
    made.labels_known = known
    return made


def _answers(model: nn.Module, images: Batches[Tensor], task: Task) -> Targets:
    if task.targets == "none":
        return torch.zeros(len(images.labels), dtype=torch.int64)
    found = []
    with evaluating(model), torch.inference_mode():
        for batch in images.in_precision(precision_of(model)):
            outputs = run(model, batch)
            answers = task.answers(outputs)
            task.check(outputs, answers)
            found.append(mapped(answers, Tensor.cpu))
    return joined(found, listed=task.listed)


def streamed(batches: Any, model: nn.Module, *, labelled: bool) -> Iterable[Any]:
    """One batch after another, of images in whatever form; nothing is kept.

    Args:
        batches: A loader, a map-style data set, a tensor or a pair (tensor, labels), all of inputs as the network takes
            them; or any other iterable of batches, which is passed on as it is.
        model: The network: the former's batches are brought to its device.
        labelled: Whether to yield pairs (inputs, labels) or inputs alone.

    Returns:
        What can be iterated repeatedly, where the images can.
    """
    pair = isinstance(batches, tuple | list) and len(batches) == 2 and not is_pair_of_sets(batches)
    if isinstance(batches, DataLoader) or pair or isinstance(batches, Dataset | Tensor | np.ndarray):
        return _Stream(batches, next((tensor.device for tensor in model.parameters()), torch.device("cpu")), labelled)
    return batches  # type: ignore[no-any-return]


class _Stream:
    def __init__(self, images: Any, device: torch.device, labelled: bool) -> None:
        self._loader = images if isinstance(images, DataLoader) else None
        self._images = None if self._loader is not None else collect(images)
        self._device = device
        self._labelled = labelled

    def __iter__(self) -> Iterator[Any]:
        for batch in self._loader or self._collected():
            yield self._fed(batch)

    def _collected(self) -> Iterator[Any]:
        assert self._images is not None
        rows = np.arange(len(self._images))
        plan = [rows[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE)]
        for part, inputs in zip(plan, self._images.parts(plan), strict=True):
            yield inputs if self._images.labels is None else (inputs, self._images.targets_of(part))

    def _fed(self, batch: Any) -> Any:
        """A batch on the device; one that is neither images nor a pair is what the network takes, as it is."""
        if isinstance(batch, Tensor) and not self._labelled:
            return batch.to(self._device)
        if isinstance(batch, list | tuple) and len(batch) == 2 and isinstance(batch[0], Tensor):
            inputs, labels = batch
            if self._labelled and is_listed(labels):
                return inputs.to(self._device), mapped(labels, lambda tensor: tensor.to(self._device))
            if not isinstance(labels, Tensor):
                return batch
            if self._labelled:
                return inputs.to(self._device), labels.to(self._device)
            if labels.shape == inputs.shape[:1] and not labels.is_floating_point():
                return inputs.to(self._device)
        return batch
