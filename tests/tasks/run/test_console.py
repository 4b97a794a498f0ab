"""Mapping in threads: everything arrives once, failures at once, and Ctrl-C stops the workers. What a user sees."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from eagleeye.errors import EvaluationError
from tasks.run import console
from tasks.run.console import Lines, Terminal
from tasks.run.shared import Shared
from tasks.settings import read_params

ROOT = Path(__file__).resolve().parents[3]


SHARED = Shared(read_params(ROOT / "params.yaml"), "key", (), "cpu")


def mapped(work: Callable[[Shared, int], Any], items: Sequence[int], **options: Any) -> Iterator[Any]:
    return Terminal().map(work, items, SHARED, **{"keep": lambda *_: None, **options})


def square(_shared: Shared, item: int) -> int:
    return item**2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 40), st.integers(1, 50), st.integers(1, 5))
def test_every_row_arrives_once_and_is_kept_before(items: int, batch: int, workers: int) -> None:
    kept: dict[int, int] = {}
    arrived = []
    for row in mapped(square, range(items), keep=kept.__setitem__, batch=batch, workers=workers):
        assert row in kept.values()
        arrived.append(row)
    assert sorted(arrived) == [item**2 for item in range(items)]
    assert kept == {item: item**2 for item in range(items)}


def test_so_many_items_are_worked_on_at_a_time_even_if_they_would_fit_into_one_batch() -> None:
    meeting = threading.Barrier(3, timeout=20)

    def work(_shared: Shared, _item: int) -> int:
        return meeting.wait()

    assert sorted(mapped(work, range(3), batch=10, workers=3)) == [0, 1, 2]


def test_rows_arrive_while_their_batch_is_under_way() -> None:
    seen = threading.Event()

    def work(_shared: Shared, item: int) -> bool:
        return item == 0 or seen.wait(20)

    for row in mapped(work, range(2), batch=2):
        assert row
        seen.set()


def test_work_waits_for_a_reader_that_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.run.mapping.MOST_WAITING", 5)
    made: list[int] = []
    rows = mapped(lambda _, item: made.append(item), range(1000), batch=1000)
    next(rows)
    time.sleep(0.5)
    assert len(made) <= 8
    rows.close()


def test_a_failure_ends_the_map_and_what_has_not_begun_never_begins() -> None:
    begun, kept = [], []

    def work(_shared: Shared, item: int) -> int:
        begun.append(item)
        if item == 1:
            raise EvaluationError("candidate 1: no")
        time.sleep(0.05)
        return item

    with pytest.raises(EvaluationError, match="candidate 1: no"):
        list(mapped(work, range(100), batch=1, workers=2, keep=lambda item, _: kept.append(item)))
    assert len(begun) < 10
    assert set(begun) - set(kept) == {1}


def test_whoever_stops_listening_stops_the_workers_at_the_row_at_hand() -> None:
    made, before = [], threading.active_count()

    def work(_shared: Shared, item: int) -> int:
        made.append(item)
        time.sleep(0.001)
        return item

    rows = mapped(work, range(2000), batch=1000, workers=2)
    next(rows)
    rows.close()
    assert len(made) < 100
    assert threading.active_count() <= before


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
    assert spoken[0] == "evaluate: 8/100 candidates, 2.0/s, 4 s so far, 46 s left"
    assert spoken[-1] == "evaluate: 100/100 candidates, 2.0/s, 50 s so far, 0 s left"
    assert len(spoken) == 13


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
