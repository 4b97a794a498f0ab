"""Tasks by their names in settings."""

from __future__ import annotations

from eagleeye.errors import ConfigError
from eagleeye.task.classification import CLASSIFICATION
from eagleeye.task.detection import Detection
from eagleeye.task.fidelity import Fidelity
from eagleeye.task.multilabel import Multilabel
from eagleeye.task.regression import Regression
from eagleeye.task.segmentation import Segmentation
from eagleeye.task.task import Task

TASKS: dict[str, Task] = {
    task.name: task for task in (CLASSIFICATION, Detection(), Fidelity(), Multilabel(), Regression(), Segmentation())
}


def task_of(task: Task | str) -> Task:
    """A task, or the one of a name.

    Raises:
        ConfigError: There is none of that name.
    """
    if isinstance(task, Task):
        return task
    if task not in TASKS:
        raise ConfigError(
            f"task {task!r} is none of {', '.join(TASKS)}; choose one of these, or give an eagleeye.task.Task"
        )
    return TASKS[task]
