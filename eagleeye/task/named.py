"""Tasks by their names in settings."""

from __future__ import annotations

import functools
import re

from eagleeye.errors import ConfigError, EagleEyeError
from eagleeye.references import described, resolve
from eagleeye.task.classification import CLASSIFICATION
from eagleeye.task.detection import Detection
from eagleeye.task.fidelity import Fidelity
from eagleeye.task.multilabel import Multilabel
from eagleeye.task.regression import Regression
from eagleeye.task.segmentation import Segmentation
from eagleeye.task.task import Task

_NAME = re.compile("[a-z][a-z0-9_]*")

TASKS: dict[str, Task] = {
    task.name: task for task in (CLASSIFICATION, Detection(), Fidelity(), Multilabel(), Regression(), Segmentation())
}


def task_of(task: Task | str) -> Task:
    """A task, or the one of a name.

    Args:
        task: A task; the name of a built-in one; or `package.module:function`, whatever gives a task when it is called:
            a class of one's own, for instance.

    Raises:
        ConfigError: There is none of that name, or what is named gives another thing.
    """
    if isinstance(task, Task):
        return task
    if ":" in task:
        return _own(task)
    if task not in TASKS:
        raise ConfigError(
            f"task {task!r} is none of {', '.join(TASKS)}; choose one of these, or give an eagleeye.task.Task"
            " (package.module:function)"
        )
    return TASKS[task]


@functools.cache
def _own(reference: str) -> Task:
    make = resolve(reference, ConfigError)
    try:
        found = make()
    except EagleEyeError:
        raise
    except Exception as cause:
        raise ConfigError(f"task {reference} failed: {described(cause)}") from cause
    if not isinstance(found, Task):
        raise ConfigError(f"task {reference} gives a {type(found).__name__}; needed is an eagleeye.task.Task")
    for name in [found.name, *found.scorers, *(scorer.images for scorer in found.scorers.values())]:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"task {reference}: {name!r} names columns of tables; needed are small letters, digits, _"
            )
    return found
