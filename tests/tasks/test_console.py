"""Mapping in threads: everything arrives once, failures at once, and Ctrl-C stops the workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from eagleeye.errors import EvaluationError
from tasks.console import Terminal


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_row_of_every_batch_arrives_once(workers: int) -> None:
    batches = [range(start, start + 4) for start in range(0, 40, 4)]
    assert sorted(Terminal().map(iter, batches, workers)) == list(range(40))
    assert list(Terminal().map(iter, [], workers)) == []


def test_so_many_batches_are_worked_on_at_a_time() -> None:
    meeting = threading.Barrier(3, timeout=20)

    def work(batch: int) -> Iterator[int]:
        meeting.wait()
        yield batch

    assert sorted(Terminal().map(work, range(3), 3)) == [0, 1, 2]


def test_rows_arrive_while_their_batch_is_under_way() -> None:
    seen = threading.Event()

    def work(_batch: int) -> Iterator[bool]:
        yield True
        yield seen.wait(20)

    for row in Terminal().map(work, [0]):
        assert row
        seen.set()


def test_a_failure_ends_the_map_and_what_has_not_begun_never_begins() -> None:
    begun = []

    def work(batch: int) -> Iterator[int]:
        begun.append(batch)
        if batch == 1:
            raise EvaluationError("candidate 1: no")
        yield batch
        time.sleep(0.05)

    with pytest.raises(EvaluationError, match="candidate 1: no"):
        list(Terminal().map(work, range(100), 2))
    assert len(begun) < 10


def test_whoever_stops_listening_stops_the_workers_at_the_next_row() -> None:
    made = []

    def work(_batch: int) -> Iterator[int]:
        for row in range(1000):
            made.append(row)
            yield row
            time.sleep(0.001)

    rows = Terminal().map(work, [0, 1], 2)
    next(rows)
    rows.close()
    assert len(made) < 100
    assert threading.active_count() < 10
