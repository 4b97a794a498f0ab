"""A map under way: which items are left, and how their rows reach whoever asked for them.

A runner decides where and when the batches run; this decides that every row is kept first and counts once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import Full, Queue
from threading import Event
from typing import Any, Generic

from tasks.run.context import Item, Keep, Row, Work
from tasks.run.shared import Shared

# Rows wait here for their reader. Where it is slower than the work, the work waits, too: rows can be large.
MOST_WAITING = 256
SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class _Ended:
    """A batch has come to its end, well or not."""

    result: Callable[[], object]


class Job(Generic[Item, Row]):
    """One map."""

    def __init__(self, work: Work[Item, Row], items: Sequence[Item], shared: Shared, keep: Keep[Item, Row]) -> None:
        """Hold the arguments of `tasks.run.context.Context.map`."""
        self.work = work
        self.items = items
        self.shared = shared
        self.keep = keep
        self.stopped = Event()
        """Set when nobody listens any more: whoever works ends with the row at hand."""
        self._rows: Queue[Any] = Queue(MOST_WAITING)

    def batches(self, size: int, workers: int) -> list["Batch[Item, Row]"]:
        """Its items in parts.

        Args:
            size: Items in each at most.
            workers: Parts there are at least, so that few items, too, are worked on at a time.
        """
        count = len(self.items)
        step = min(size, -(-len(self.items) // workers) or 1)
        return [Batch(self, range(start, min(start + step, count))) for start in range(0, count, step)]

    def rows(self, results: Mapping[Future[Any], Callable[[], object]]) -> Iterator[Row]:
        """Hand out the rows until every batch has ended.

        Args:
            results: What runs the batches, each with a function that raises if its batch has failed.

        Yields:
            The rows; the first failure is raised. When this ends, for whatever reason, the job is stopped.
        """
        try:
            for future, result in results.items():
                future.add_done_callback(partial(self._end, result))
            left = len(results)
            while left:
                entry = self._rows.get()
                if isinstance(entry, _Ended):
                    entry.result()
                    left -= 1
                else:
                    yield entry
        finally:
            self.stopped.set()
            for future in results:
                future.cancel()

    def _end(self, result: Callable[[], object], _: Future[Any]) -> None:
        self.put(_Ended(result))

    def put(self, entry: object) -> None:
        """Hand an entry to the reader, as long as there is one."""
        while not self.stopped.is_set():
            try:
                return self._rows.put(entry, timeout=SECONDS_BETWEEN_LOOKS)
            except Full:
                continue
        return None


class Batch(Generic[Item, Row]):
    """Items that are worked on one after another; after a fault the rest of them."""

    def __init__(self, job: Job[Item, Row], places: range) -> None:
        """Take the job's items at these places."""
        self.job = job
        self._left = list(reversed(places))

    @property
    def finished(self) -> bool:
        """Whether every row is kept."""
        return not self._left

    def run(self) -> None:
        """Do the work here, row by row, until it is done or the job is stopped."""
        job = self.job
        while self._left and not job.stopped.is_set():
            item = job.items[self._left[-1]]
            self._take(item, job.work(job.shared, item))

    def run_by(self, send: Callable[[list[Item]], Sequence[Row] | None]) -> None:
        """Have the work done elsewhere.

        Args:
            send: Given the items that are left, returns their rows; None if the job was stopped meanwhile.
        """
        items = [self.job.items[place] for place in reversed(self._left)]
        for item, row in zip(items, send(items) or (), strict=False):
            self._take(item, row)

    def _take(self, item: Item, row: Row) -> None:
        self.job.keep(item, row)
        self._left.pop()
        self.job.put(row)
