"""Score a network on labelled images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eagleeye.errors import EvaluationError
from eagleeye.modes import evaluating


class Score(NamedTuple):
    """Unrounded top-1 accuracy in [0, 1], and mean cross-entropy in nats."""

    accuracy: float
    loss: float


def evaluate(model: nn.Module, labelled_batches: Iterable[tuple[Tensor, Tensor]]) -> Score:
    """Top-1 accuracy and mean cross-entropy in evaluation mode.

    Args:
        model: A classifier with outputs (n, classes); left as it was.
        labelled_batches: Pairs of normalised float tensors (n, C, H, W) and int64 labels (n,).

    Returns:
        The score, over all images alike whatever the batches.

    Raises:
        EvaluationError: No images, outputs that are no class scores or not finite, or labels beyond the classes.
    """
    correct, loss, images = 0, 0.0, 0
    with evaluating(model), torch.inference_mode():
        for batch, labels in labelled_batches:
            outputs = model(batch)
            _check(outputs, labels)
            correct += int((outputs.argmax(dim=1) == labels).sum())
            # Summed in float64: a mean over 10,000 images must not depend on the batches.
            loss += float(F.cross_entropy(outputs.double(), labels, reduction="sum"))
            images += len(labels)
    if images == 0:
        raise EvaluationError("evaluation: there are no images; give at least one batch")
    return Score(correct / images, loss / images)


def _check(outputs: Tensor, labels: Tensor) -> None:
    if not isinstance(outputs, Tensor) or outputs.dim() != 2:
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise EvaluationError(f"network output: {shape} is no table of class scores; it must be a tensor (n, classes)")
    if int(labels.max()) >= outputs.shape[1]:
        raise EvaluationError(
            f"labels: class {int(labels.max())} occurs, but the network has {outputs.shape[1]} outputs;"
            " build it for the classes of the data"
        )
    if not bool(torch.isfinite(outputs).all()):
        raise EvaluationError(
            "network output: it holds NaN or infinite values; check the checkpoint and the images' normalisation"
        )
