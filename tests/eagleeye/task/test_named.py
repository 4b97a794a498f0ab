"""Tasks by their names in settings, one's own among them."""

import pytest

from eagleeye.errors import ConfigError
from eagleeye.task import CLASSIFICATION, Hits, Scorer, by_name
from eagleeye.task.classification import Classification
from eagleeye.task.named import TASKS, task_of


class Own(Classification):
    """A task of one's own."""

    name = "own"


class Badly(Classification):
    """A task whose score would be no column."""

    scorers = by_name(
        [Scorer("top 1; drop", lambda *_: None, False, Hits, "top 1; drop", images="hits", label="top 1")]
    )


def number() -> int:
    return 3


def broken() -> None:
    raise ValueError("no weights")


def test_a_name_a_task_and_a_class_of_ones_own_are_taken() -> None:
    assert task_of("classification") is task_of(CLASSIFICATION) is CLASSIFICATION
    assert all(task_of(name).name == name for name in TASKS)
    own = task_of(f"{__name__}:Own")
    assert isinstance(own, Own)
    assert task_of(f"{__name__}:Own") is own


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clasification", "task 'clasification' is none of classification, detection, fidelity"),
        (f"{__name__}:number", "gives a int; needed is an eagleeye.task.Task"),
        (f"{__name__}:broken", "failed: ValueError: no weights"),
        (f"{__name__}:missing", "'missing' is missing"),
        (f"{__name__}:Badly", "'top 1; drop' names columns of tables"),
        ("os:system", "is part of Python itself"),
    ],
)
def test_what_is_no_task_is_told_in_a_line(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        task_of(name)
    assert message in str(refused.value)
