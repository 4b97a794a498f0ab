"""Score a network on labelled images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from eagleeye.given import streamed
from eagleeye.scoring.scores import SCORERS


class Score(NamedTuple):
    """Unrounded top-1 accuracy in [0, 1], and mean cross-entropy in nats."""

    accuracy: float
    loss: float


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a classifier makes of each image."""

    columns: Mapping[str, npt.NDArray[Any]]
    """Each score image by image, (n,), by its name in `eagleeye.scoring.scores.SCORERS`; comparisons with the
    unpruned network where there was one to compare with."""

    @classmethod
    def joined(cls, parts: Sequence[Predictions]) -> Predictions:
        """The predictions of several batches of images as one."""
        return cls({name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns})

    @property
    def score(self) -> Score:
        """Accuracy and loss; the order of the images decides nothing, the batches they came in neither."""
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
    model: nn.Module, labelled_batches: Iterable[tuple[Inputs, Tensor]] | Dataset[Any], *, full: Tensor | None = None
) -> Predictions:
    """Every score of a classifier in evaluation mode, image by image.

    Args:
        model: As for `evaluate`.
        labelled_batches: As for `evaluate`.
        full: Logits of the unpruned network for the same images (n, classes), to compare the model with; None: only
            scores that need labels.

    Returns:
        The predictions, in the images' order.

    Raises:
        EvaluationError: As for `evaluate`.
    """
    scorers = [scorer for scorer in SCORERS.values() if full is not None or not scorer.compares]
    found: list[list[Tensor]] = []
    seen = 0
    with evaluating(model), torch.inference_mode():
        for batch, labels in streamed(labelled_batches, model, labelled=True):
            outputs = run(model, batch)
            check_outputs(outputs, labels)
            part = labels if full is None else full[seen : seen + len(labels)]
            found.append([scorer.measure(outputs, part if scorer.compares else labels) for scorer in scorers])
            seen += len(labels)
    if not found:
        raise EvaluationError("evaluation: there are no images; give at least one batch")
    # Copied from the device once, at the end: a copy per batch would wait for each of them.
    columns = [torch.cat(parts).cpu().numpy() for parts in zip(*found, strict=True)]
    return Predictions({scorer.name: column for scorer, column in zip(scorers, columns, strict=True)})


def check_outputs(outputs: Any, labels: Tensor) -> None:
    """Check that a network's outputs are class scores of the labels' classes.

    Args:
        outputs: What the network returned, for n images.
        labels: int64 (n,).

    Raises:
        EvaluationError: They are no tensor (n, classes), not finite, or a label is beyond the classes.
    """
    if not isinstance(outputs, Tensor) or outputs.dim() != 2:
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise EvaluationError(
            f"network output: {shape} is no table of class scores; it must be a tensor (n, classes): let a module of"
            " your own around the network return that alone"
        )
    if outputs.shape[1] == 1:
        raise EvaluationError(
            "network output: one value per image is no choice between classes; for a binary logit z, let a module of"
            " your own around the network return torch.cat([torch.zeros_like(z), z], 1)"
        )
    if int(labels.max()) >= outputs.shape[1]:
        raise EvaluationError(
            f"labels: class {int(labels.max())} occurs, but the network has {outputs.shape[1]} outputs;"
            " build it for the classes of the data"
        )
    if not bool(torch.isfinite(outputs).all()):
        raise EvaluationError(
            "network output: it holds NaN or infinite values; check the checkpoint and the images' normalisation"
        )
