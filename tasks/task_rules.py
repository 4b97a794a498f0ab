"""What the network is for, by the settings, and what these have to do with each other because of that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from eagleeye.errors import ConfigError
from eagleeye.task import CLASSIFICATION, Order, Task
from eagleeye.task.named import task_of

if TYPE_CHECKING:
    from tasks.params import Params, Training


def task_for(params: Params) -> Task:
    """The task that the settings name.

    Raises:
        ConfigError: There is none of that name, or other settings do not fit it.
    """
    task = task_of(params.task)
    for line in contradictions_with(params, task):
        raise ConfigError(line)
    return task


def ranked_by(params: Params) -> Order:
    """What decides the race and the ranking."""
    return task_for(params).order(params.rank.by)


def chosen_by(params: Params) -> Order:
    """What chooses the best epoch of a training, and is told of the test images: the task's first score."""
    return task_for(params).order()


def contradictions(params: Params) -> Iterator[str]:
    """What settings say that cannot be, each in a line with the way out.

    Args:
        params: The settings; a task of one's own is not looked at, as it need not be there where they are read.

    Raises:
        ConfigError: There is no such task.
    """
    if ":" not in params.task:
        yield from contradictions_with(params, task_of(params.task))


def contradictions_with(params: Params, task: Task) -> Iterator[str]:
    """The same with the task at hand."""
    by = params.rank.by
    if by is not None and by not in task.scorers:
        yield f"rank.by is {by}, which is no score of task {task.name}; allowed are {', '.join(task.scorers)}, and null"
    if task is not CLASSIFICATION:
        if params.importance.criterion == "taylor":
            yield "importance.criterion is taylor, which is made for classes; set it to obs or l1"
        if params.model.expected_accuracy is not None:
            yield f"model.expected_accuracy is set, but task {task.name} has no accuracy of classes; set it to null"
    if task.targets == "none" and params.model.checkpoint is None:
        yield f"model.checkpoint is null, but task {task.name} has no labels to train a network with; set it"
    for name, training in _trainings(params):
        yield from _of_training(name, training, task)


def _trainings(params: Params) -> Iterator[tuple[str, Training]]:
    if params.model.checkpoint is None:
        yield "baseline", params.baseline
    if params.finetune.trainer is None:
        yield "finetune", params.finetune
    if params.studies:
        yield "correlation.training", params.correlation.training


def _of_training(name: str, training: Training, task: Task) -> Iterator[str]:
    if task.targets_move and training.augment != "none":
        yield (
            f"{name}.augment is {training.augment}, which moves pictures without their targets; set it to none, and for"
            f" task {task.name} let a data set of your own augment both"
        )
    if task.computes_losses and training.label_smoothing:
        yield (
            f"{name}.label_smoothing is {training.label_smoothing}, but networks of task {task.name} compute their"
            " losses themselves; set it to 0"
        )
    share = getattr(training, "distillation", 0.0)
    if task.targets == "none" and share < 1 and name != "baseline":
        yield f"{name}.distillation is {share}, but task {task.name} has no labels to learn from; set it to 1"
