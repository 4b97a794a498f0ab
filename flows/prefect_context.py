"""Runs a stage inside a Prefect flow: batches are Prefect tasks, progress and tables show in the Prefect UI."""

import logging
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self
from uuid import UUID

import torch
from prefect import runtime, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Failed, get_state_exception
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import Task

from eagleeye.errors import EagleEyeError
from flows.runners import Here, Ray, Runner, WorkerLostError
from tasks.run.console import Lines
from tasks.run.context import Advance, Item, Keep, Row, Work
from tasks.run.mapping import Batch, Job
from tasks.run.pulse import Pulse
from tasks.run.shared import Shared

# What may pass by itself: files and connections, a database that is locked, a device that others fill, a lost machine.
# Everything else (a setting, a damaged file, a defect) would fail in the same way again.
TRANSIENT = (OSError, sqlite3.OperationalError, torch.OutOfMemoryError, WorkerLostError)
DELAYS = [5.0, 30.0, 120.0]
SECONDS_BETWEEN_UPDATES = 5.0  # each is two lines in a terminal that watches the run


def may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failure is worth another attempt."""
    return isinstance(get_state_exception(state), TRANSIENT)


def failed(error: EagleEyeError, where: str = "") -> State[Any]:
    """The state of a run that failed by something the user can mend: one line, no traceback in the log.

    Args:
        error: What happened; it travels as the state's data, so that retries and callers can tell what kind it is.
        where: What to name first.
    """
    return Failed(message=where + " ".join(str(error).split()), data=error)


@task(
    name="batch",
    task_run_name="{label}",
    retries=len(DELAYS),
    retry_condition_fn=may_pass,
    persist_result=False,
)
def run_batch(batch: Batch[Any, Any], runner: Runner, label: str) -> State[Any]:
    """Do a stage's work on the items of a batch that are left.

    Args:
        batch: The batch; what an interrupted attempt has done it does not do again.
        runner: Does it, here or elsewhere.
        label: Name of the task run.

    Returns:
        Completed; cancelled if the flow ends meanwhile; failed where the user has something to mend.
    """
    attempt = runtime.task_run.run_count
    if attempt > 1:
        # Not as a delay of Prefect's, which nothing can interrupt.
        batch.job.stopped.wait(DELAYS[attempt - 2])
    try:
        runner.run(batch)
    except EagleEyeError as error:
        return failed(error)
    return Completed(message=label) if batch.finished else Cancelled(message="the flow ended meanwhile")


class FlowContext:
    """Context of a stage that runs in a Prefect flow."""

    def __init__(self, stage: str) -> None:
        """Report as a stage of the current flow run."""
        self._stage = stage
        self._cluster: Ray | None = None
        self._logger: logging.Logger | logging.LoggerAdapter[logging.Logger] = get_run_logger()
        self._pulse = Pulse(stage, self._logger.info)

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
        """Do the work as one Prefect task per batch; see `tasks.run.context.Context`."""
        if not items:
            return
        job = Job(work, items, shared, keep)
        runner = self._runner(shared, workers)
        batches = job.batches(batch, runner.workers)
        threads: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=runner.threads)
        with threads as pool:
            futures = [
                pool.submit(
                    run_batch, {"batch": part, "runner": runner, "label": f"{self._stage} {number} of {len(batches)}"}
                )
                for number, part in enumerate(batches, start=1)
            ]
            yield from job.rows({future.wrapped_future: future.result for future in futures})

    def _runner(self, shared: Shared, workers: int) -> Runner:
        wanted = shared.params.runner
        if wanted.engine == "local":
            return Here(workers)
        self._cluster = self._cluster or Ray(wanted.address)
        return self._cluster.serve(shared, workers, self.say)

    def __enter__(self) -> Self:
        self._pulse.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._pulse.__exit__()
        if self._cluster is not None:
            self._cluster.close()

    @contextmanager
    def progress(self, title: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Show a progress artifact, and a line in the log now and then."""
        lines = Lines(title, total, unit, done)
        bar = _Bar(title, total, done)

        def advance() -> None:
            bar.advance()
            if line := lines.advance():
                self.say(line)

        yield advance

    def say(self, line: str) -> None:
        """Log a line."""
        self._pulse.heard()
        self._logger.info(line)

    def warn(self, line: str) -> None:
        """Log a warning."""
        self._logger.warning(line)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Log a table line by line."""
        self.say(f"{title}: " + " | ".join(columns))
        for row in rows:
            self.say("  " + " | ".join(row))


class _Bar:
    """A progress artifact that is brought up to date every few seconds."""

    def __init__(self, title: str, total: int, done: int) -> None:
        self._total = total
        self._done = done
        self._shown = time.monotonic()
        key = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        artifact = create_progress_artifact(100.0 * done / total, key=key, description=title)
        assert isinstance(artifact, UUID)  # only an async caller gets a coroutine
        self._artifact = artifact

    def advance(self) -> None:
        self._done += 1
        now = time.monotonic()
        if self._done == self._total or now - self._shown > SECONDS_BETWEEN_UPDATES:
            self._shown = now
            update_progress_artifact(self._artifact, 100.0 * self._done / self._total)
