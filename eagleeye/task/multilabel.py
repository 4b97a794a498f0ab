"""Several labels for an image, each of which is there or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eagleeye.errors import ConfigError, EvaluationError
from eagleeye.task.confidence import Losses, Shares
from eagleeye.task.scores import Scorer
from eagleeye.task.task import Loss, Task, by_name

if TYPE_CHECKING:
    from torchmetrics import Metric


def label_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """The share of an image's labels that are told right, there or not.

    Args:
        logits: Of the candidate (n, labels); above 0 a label is taken to be there.
        labels: 0 or 1, (n, labels).

    Returns:
        float64 (n,), in [0, 1].
    """
    return ((logits > 0) == (labels > 0.5)).double().mean(1)


def binary_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy, the mean over an image's labels, in nats.

    Args:
        logits: Of the candidate (n, labels).
        labels: 0 or 1, (n, labels).

    Returns:
        float64 (n,).
    """
    return F.binary_cross_entropy_with_logits(logits.double(), labels.double(), reduction="none").mean(1)


def agreement(logits: Tensor, full: Tensor) -> Tensor:
    """The share of an image's labels that are told as the unpruned network tells them.

    Args:
        logits: Of the candidate (n, labels).
        full: Of the unpruned network for the same images.

    Returns:
        float64 (n,), in [0, 1].
    """
    return ((logits > 0) == (full > 0)).double().mean(1)


def divergence(logits: Tensor, full: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the unpruned network's probabilities, the mean over labels, in nats.

    Args:
        logits: Of the candidate (n, labels).
        full: Of the unpruned network for the same images.

    Returns:
        float64 (n,), at least 0.
    """
    return _divergences(logits.double(), full.double()).mean(1).clamp(min=0)


class Multilabel(Task):
    """Networks with a logit for every label, (n, labels), and labels 0 or 1 of the same shape."""

    name = "multilabel"
    targets_move = False
    scorers = by_name(
        [
            Scorer(
                "binary_loss", binary_loss, False, Losses, "label_accuracy", "binary_losses", "binary cross-entropy"
            ),
            Scorer("label_accuracy", label_accuracy, False, Shares, "binary_loss", "labels_right", "labels told right"),
            Scorer("divergence", divergence, True, Losses, "agreement", "divergences", "divergence of labels"),
            Scorer("agreement", agreement, True, Shares, "divergence", "labels_alike", "agreement of labels"),
        ]
    )

    def check(self, outputs: Any, targets: Tensor) -> None:
        """See `Task.check`."""
        if not isinstance(outputs, Tensor) or outputs.dim() != 2:
            shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise EvaluationError(f"network output: {shape} is no table of logits; it must be a tensor (n, labels)")
        if targets.shape[1:] != outputs.shape[1:]:
            raise EvaluationError(
                f"labels: {tuple(targets.shape[1:])} for every image, but the network has {outputs.shape[1]} outputs;"
                " both need one entry for each label"
            )
        if bool(((targets != 0) & (targets != 1)).any()):
            wrong = targets[(targets != 0) & (targets != 1)].flatten()[0].item()
            raise EvaluationError(f"labels: {wrong} occurs; needed is 0 or 1 for each")
        if not bool(torch.isfinite(outputs).all()):
            raise EvaluationError(
                "network output: it holds NaN or infinite values; check the checkpoint and the images' normalisation"
            )

    def answers(self, outputs: Any) -> Tensor:
        """The labels that are taken to be there, float32 (n, labels); see `Task.answers`."""
        there: Tensor = (outputs > 0).float()
        return there

    def criterion(self, label_smoothing: float = 0.0) -> Loss:
        """Binary cross-entropy; see `Task.criterion`."""
        if label_smoothing:
            raise ConfigError(f"label_smoothing is {label_smoothing}: several labels are not smoothed; set it to 0")
        loss = nn.BCEWithLogitsLoss()
        return lambda outputs, targets: loss(outputs, targets.to(outputs.dtype))

    def distance(self, outputs: Any, wanted: Any, temperature: float) -> Tensor:
        """T² times the divergence of softened probabilities, the mean over labels; see `Task.distance`."""
        return temperature**2 * _divergences(outputs / temperature, wanted / temperature).mean()

    def told(self, outputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities; see `Task.told`."""
        return torch.sigmoid(outputs), targets.long()

    def metrics(self, outputs: Any) -> Mapping[str, Metric]:
        """The mean over labels of the average precision; see `Task.metrics`."""
        from torchmetrics.classification import MultilabelAveragePrecision

        return {"mean average precision": MultilabelAveragePrecision(outputs.shape[1])}


def _divergences(logits: Tensor, full: Tensor) -> Tensor:
    """Of each label's two probabilities, there and not."""
    return sum(
        (
            F.logsigmoid(sign * full).exp() * (F.logsigmoid(sign * full) - F.logsigmoid(sign * logits))
            for sign in (1, -1)
        ),
        start=torch.zeros_like(logits),
    )
