"""Metrics of a whole set of images, as the field reports them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from eagleeye.errors import EvaluationError
from eagleeye.forward.modes import evaluating
from eagleeye.forward.running import run
from eagleeye.forward.structures import tensors
from eagleeye.given import streamed
from eagleeye.task import Task


def has_metrics(task: Task) -> bool:
    """Whether a task has metrics of a whole set beside its scores."""
    return type(task).metrics is not Task.metrics


def leading(model: nn.Module, labelled_batches: Any, task: Task) -> float | None:
    """What decides between networks that are all scored on the same images: the first metric of the whole set.

    Scores image by image tell who may still win; which of a few really is the best, the field tells by its metric.

    Args:
        model: Any network; left as it was.
        labelled_batches: As for `measure`.
        task: What the network is for.

    Returns:
        The metric, turned so that larger is better; None where the task has none beside its scores.

    Raises:
        EvaluationError: As in `measure`.
    """
    if not has_metrics(task):
        return None
    found = _measured(model, labelled_batches, task)
    first = next(iter(found.values()), None)
    if first is None:
        return None
    return float(first.compute()) * (1 if first.higher_is_better else -1)


def measure(model: nn.Module, labelled_batches: Any, task: Task) -> dict[str, float]:
    """The task's metrics in evaluation mode, over all images together.

    Args:
        model: Any network; left as it was.
        labelled_batches: Pairs of inputs and targets (n, …), as for `eagleeye.scoring.evaluate.predict`.
        task: What the network is for.

    Returns:
        By what people call them, e.g. mIoU; empty where the task has none beside its scores.

    Raises:
        EvaluationError: No images, or outputs that are not of this task, not finite, or do not fit the targets.
    """
    return {name: float(metric.compute()) for name, metric in _measured(model, labelled_batches, task).items()}


def _measured(model: nn.Module, labelled_batches: Any, task: Task) -> dict[str, Any]:
    """The task's metrics, told of all images."""
    metrics: dict[str, Any] | None = None
    with evaluating(model), torch.inference_mode():
        for batch, targets in streamed(labelled_batches, model, labelled=True):
            outputs = run(model, batch)
            task.check(outputs, targets)
            if metrics is None:
                device = tensors(outputs)[0].device
                metrics = {name: metric.to(device) for name, metric in task.metrics(outputs).items()}
            for metric in metrics.values():
                metric.update(*task.told(outputs, targets))
    if metrics is None:
        raise EvaluationError("evaluation: there are no images; give at least one batch")
    return metrics
