"""What a stage body is given by whoever runs it: something to map items with, and a way to be heard.

`tasks.run.console` serves a terminal (`dvc repro`), `flows.prefect_context` a Prefect flow.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from tasks.run.shared import Shared

Item = TypeVar("Item")
Row = TypeVar("Row")
Work = Callable[[Shared, Item], Row]
Keep = Callable[[Item, Row], None]
Advance = Callable[[], None]


class Listener(Protocol):
    """Whoever is told how the work goes."""

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


class Context(Listener, Protocol):
    """The runner's side of a stage."""

    def map(
        self,
        work: Work[Item, Row],
        items: Sequence[Item],
        shared: Shared,
        *,
        keep: Keep[Item, Row],
        batch: int = 1,
        workers: int = 1,
    ) -> Iterator[Row]:
        """Do the work on every item.

        Args:
            work: A module-level function of what items share and one item, with no state but caches: it runs in another
                thread, process or machine, in the folder that holds the shared files, and again after a fault.
            items: Its second arguments: small and picklable. Each is looked up when its turn comes.
            shared: Its first argument.
            keep: Puts a row on durable record. Called here, from several threads, as soon as the row is: what is kept
                is not worked on again, whatever happens to the rest of its batch.
            batch: Items that travel together and are tried again together; one task in Prefect.
            workers: Items to work on at a time, where they are worked on here.

        Returns:
            The rows of all items, each once, as they become known. Whoever stops listening stops the work.
        """
        ...

    def warn(self, line: str) -> None:
        """Tell the user something that needs attention."""
        ...

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a short table."""
        ...
