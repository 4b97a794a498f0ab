"""Score a network on images, with targets or held against another network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from eagleeye.errors import EvaluationError
from eagleeye.forward.inputs import Inputs
from eagleeye.forward.modes import evaluating
from eagleeye.forward.running import run
from eagleeye.forward.structures import mapped
from eagleeye.given import streamed
from eagleeye.task import CLASSIFICATION, Task

Reference = Callable[[int, int, Inputs], Any]
"""What a network's outputs are compared with, for images from and to, given as the last argument."""


class Score(NamedTuple):
    """Unrounded top-1 accuracy in [0, 1], and mean cross-entropy in nats."""

    accuracy: float
    loss: float


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network makes of each image."""

    columns: Mapping[str, npt.NDArray[Any]]
    """Each score image by image, (n,), by its name in `eagleeye.task.Task.scorers`; comparisons with the unpruned
    network where there was one to compare with."""

    @classmethod
    def joined(cls, parts: Sequence[Predictions]) -> Predictions:
        """The predictions of several batches of images as one."""
        return cls({name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns})

    @property
    def score(self) -> Score:
        """Accuracy and loss of a classifier; neither the order of images nor their batches decide anything."""
        return Score(*(self.scores[name] for name in Score._fields))

    @property
    def scores(self) -> dict[str, float]:
        """The means of all columns."""
        return {name: float(column.mean()) for name, column in self.columns.items()}


def evaluate(model: nn.Module, labelled_batches: Iterable[tuple[Inputs, Tensor]] | Dataset[Any]) -> Score:
    """Top-1 accuracy and mean cross-entropy in evaluation mode.

    Args:
        model: A classifier with outputs (n, classes); left as it was.
        labelled_batches: Pairs of normalised float tensors (n, C, H, W), or whatever else the network takes, as in
            `eagleeye.forward.inputs`, and int64 labels (n,); or a DataLoader or map-style data set of such pairs,
            or one pair of all images and labels.

    Returns:
        The score, over all images alike whatever the batches.

    Raises:
        EvaluationError: No images, outputs that are no class scores or not finite, or labels beyond the classes.
    """
    return predict(model, labelled_batches).score


def predict(
    model: nn.Module,
    labelled_batches: Iterable[tuple[Inputs, Tensor]] | Dataset[Any],
    *,
    full: Reference | None = None,
    task: Task = CLASSIFICATION,
) -> Predictions:
    """Every score of a network in evaluation mode, image by image.

    Args:
        model: Any network; left as it was.
        labelled_batches: As for `evaluate`; targets are (n, …), or a list with an entry for each image.
        full: The unpruned network's outputs for the same images, to compare the model with: from `outputs_of`,
            or known ones; None: only scores that need labels.
        task: What the network is for.

    Returns:
        The predictions, in the images' order.

    Raises:
        EvaluationError: No images, or outputs that are not of this task, not finite, or do not fit the targets.
    """
    scorers = [scorer for scorer in task.scorers.values() if full is not None or not scorer.compares]
    found: list[list[Tensor]] = []
    seen = 0
    with evaluating(model), torch.inference_mode():
        for batch, targets in streamed(labelled_batches, model, labelled=True):
            outputs = run(model, batch)
            task.check(outputs, targets)
            wanted = None if full is None else full(seen, seen + len(targets), batch)
            found.append([scorer.measure(outputs, wanted if scorer.compares else targets) for scorer in scorers])
            seen += len(targets)
    if not found:
        raise EvaluationError("evaluation: there are no images; give at least one batch")
    # Copied from the device once, at the end: a copy per batch would wait for each of them.
    columns = [torch.cat(parts).cpu().numpy() for parts in zip(*found, strict=True)]
    return Predictions({scorer.name: column for scorer, column in zip(scorers, columns, strict=True)})


def outputs_of(model: nn.Module) -> Reference:
    """Compare with a network that is run on the same batches, in its own precision: nothing is kept.

    Args:
        model: The unpruned network, in evaluation mode while it is run.
    """

    def look(_start: int, _stop: int, batch: Inputs) -> Any:
        with evaluating(model):
            return in_float32(run(model, batch))

    return look


def in_float32(outputs: Any) -> Any:
    """Outputs whose tensors of floating point are float32 at least."""

    def exact(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        return tensor.to(torch.promote_types(tensor.dtype, torch.float32))

    return mapped(outputs, exact)
