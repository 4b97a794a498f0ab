"""Runs a stage for a terminal user: progress bars with rates and remaining time, a short table at the end."""

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from tasks.run.context import Advance, Item, Keep, Row, Work
from tasks.run.mapping import Job
from tasks.run.shared import Shared

SECONDS_BETWEEN_LINES = 4.0
WIDE = 100  # columns that a bar needs with all that is said beside it


class Terminal:
    """Context of a stage that runs in this process and reports to the terminal, or line by line to a file."""

    def __init__(self, console: Console | None = None) -> None:
        """Report to a console; standard output by default."""
        # A terminal would break lines amid words; a file keeps them whole.
        self._console = console or Console(highlight=False, soft_wrap=not sys.stdout.isatty())
        self._told = False

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
        """Do the work in threads; see `tasks.run.context.Context`."""
        engine = shared.params.runner.engine
        if engine != "local" and not self._told:
            self._told = True
            self.say(f"runner.engine is {engine}: a flow uses it; here this machine works alone")
        job = Job(work, items, shared, keep)
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(part.run) for part in job.batches(batch, workers)]
            yield from job.rows({future: future.result for future in futures})

    @contextmanager
    def progress(self, title: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Show a bar on a terminal and a line now and then elsewhere."""
        if not self._console.is_terminal:
            lines = Lines(title, total, unit, done)
            yield lambda: self._say_if(lines.advance())
            return
        with Progress(*_columns(unit, wide=self._console.width >= WIDE), console=self._console) as bar:
            task = bar.add_task(title, total=total, completed=done)
            yield lambda: bar.advance(task)

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, markup=False)

    def warn(self, line: str) -> None:
        """Print a yellow line."""
        self._console.print(f"warning: {line}", style="yellow", markup=False)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table."""
        table = Table(*columns, title=title, title_justify="left")
        for row in rows:
            table.add_row(*map(Text, row))
        self._console.print(table)

    def _say_if(self, line: str | None) -> None:
        if line:
            self.say(line)


def _columns(unit: str, *, wide: bool) -> list[ProgressColumn]:
    """What is shown beside a bar; where there is little room, the title has lines of its own rather than dots."""
    title = TextColumn("{task.description}", table_column=Column(no_wrap=False, overflow="fold"))
    end: list[ProgressColumn] = [Rate(), TimeRemainingColumn(), TextColumn("left")]
    if not wide:
        return [title, BarColumn(6), MofNCompleteColumn(), *end]
    return [title, BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn(), *end]


class Lines:
    """Progress as lines of text, for logs: the first step, the last, and one in a while."""

    def __init__(self, title: str, total: int, unit: str, done: int = 0) -> None:
        """Start the clock."""
        self._title = title
        self._total = total
        self._unit = unit
        self._done = self._resumed_at = done
        self._started = self._said = time.monotonic()

    def advance(self) -> str | None:
        """Count a step.

        Returns:
            The line to show, if it is time for one.
        """
        self._done += 1
        now = time.monotonic()
        if self._done < self._total and now - self._said < SECONDS_BETWEEN_LINES:
            return None
        self._said = now
        rate = (self._done - self._resumed_at) / max(now - self._started, 1e-9)
        left = (self._total - self._done) / rate
        return (
            f"{self._title}: {self._done}/{self._total} {self._unit}, {_rate(rate)}, "
            f"{now - self._started:.0f} s so far, {left:.0f} s left"
        )


class Rate(ProgressColumn):
    """Steps per second, or seconds per step where they are slow."""

    def render(self, task: Task) -> Text:
        """Draw the rate over the last steps."""
        return Text(_rate(task.finished_speed or task.speed or 0.0))


def _rate(per_second: float) -> str:
    if per_second <= 0:
        return ""
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{1 / per_second:.1f} s each"
