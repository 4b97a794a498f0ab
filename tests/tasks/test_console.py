"""Mapping in threads: everything arrives once, failures at once, and Ctrl-C stops the workers. What a user sees."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator

import pytest
from rich.console import Console

from eagleeye.errors import EvaluationError
from tasks import console
from tasks.console import Lines, Terminal


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


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(console, "time", clock)
    return clock


def test_a_line_now_and_then_tells_rate_and_time_left(clock: Clock) -> None:
    lines = Lines("evaluate", 100, "candidates")
    said = []
    for _ in range(100):
        clock.now += 0.5
        said.append(lines.advance())
    spoken = [line for line in said if line]
    assert spoken[0] == "evaluate: 20/100 candidates, 2.0/s, 10 s so far, 40 s left"
    assert spoken[-1] == "evaluate: 100/100 candidates, 2.0/s, 50 s so far, 0 s left"
    assert len(spoken) == 5


def test_steps_of_an_earlier_run_do_not_count_for_the_rate(clock: Clock) -> None:
    lines = Lines("evaluate", 100, "candidates", done=90)
    clock.now = 20
    assert lines.advance() == "evaluate: 91/100 candidates, 20.0 s each, 20 s so far, 180 s left"


def test_a_terminal_shows_a_bar_with_rate_and_time_left() -> None:
    out = io.StringIO()
    terminal = Terminal(Console(file=out, force_terminal=True, width=120, color_system=None))
    with terminal.progress("evaluate", 4, "candidates", done=1) as advance:
        for _ in range(3):
            advance()
    assert "4/4 candidates" in out.getvalue().replace("\n", " ")
    assert "left" in out.getvalue()


def test_a_table_and_a_warning_reach_a_file_as_they_are() -> None:
    out = io.StringIO()
    terminal = Terminal(Console(file=out, width=100))
    terminal.table("result", ["network", "MACs"], [["[baseline]", "10 M"]])
    terminal.warn("look [here]")
    assert "[baseline]" in out.getvalue()
    assert "warning: look [here]" in out.getvalue()
