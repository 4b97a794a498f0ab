"""What a stage body is given by whoever runs it: something to map batches with, and a way to be heard.

`tasks.console` serves a terminal (`dvc repro`), `flows.prefect_context` a Prefect flow.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

Batch = TypeVar("Batch")
Row = TypeVar("Row")
Advance = Callable[[], None]


class Context(Protocol):
    """The runner's side of a stage."""

    def map(self, work: Callable[[Batch], Iterable[Row]], batches: Sequence[Batch], workers: int = 1) -> Iterator[Row]:
        """Do the work on every batch.

        Args:
            work: A module-level function; it may run in another thread, process or machine, and again after a fault.
            batches: Its arguments: small and picklable, paths and ids rather than tensors.
            workers: Batches to work on at a time.

        Returns:
            The rows of all batches, as they become known.
        """
        ...

    def progress(self, title: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Advance]:
        """Show progress with rate and remaining time.

        Args:
            title: What is done.
            total: Steps in all.
            unit: What a step is, in the plural.
            done: Steps that an earlier, interrupted run has done.

        Returns:
            A context manager that gives a function to call after every step.
        """
        ...

    def say(self, line: str) -> None:
        """Tell the user something."""
        ...

    def warn(self, line: str) -> None:
        """Tell the user something that needs attention."""
        ...

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a short table."""
        ...
