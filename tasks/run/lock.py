"""One run at a time in a working directory: two would write the same artefacts and the same params.yaml."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from eagleeye.errors import EagleEyeError
from eagleeye.files import written_whole
from tasks.artifacts import CACHE
from tasks.run.refusals import refusals_told

LOCK = CACHE / "run.lock"
HOLDER = CACHE / "run.json"


class BusyError(EagleEyeError):
    """Another run is at work in this working directory."""


@contextmanager
def only_run(what: str, tell: Callable[[str], None] | None = None) -> Iterator[None]:
    """Keep other runs out of the working directory; the operating system lets go when the process dies.

    Args:
        what: Who we are, for the message that others get: `stage finetune`, the name of a flow run.
        tell: Where another run is at work: what to tell that we wait for its end; None: we do not wait.

    Raises:
        BusyError: Another run is at work here, and we do not wait.
        ArtifactError: The system refuses a file, to us or to the run.
        EvaluationError: Memory is short.
    """
    with refusals_told(), _held(what, tell):
        yield


def at_work() -> str | None:
    """Who works in the working directory; None: nobody. Nothing is held or made."""
    if not LOCK.is_file():
        return None
    lock = FileLock(LOCK, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return _holder()
    lock.release()
    return None


@contextmanager
def _held(what: str, tell: Callable[[str], None] | None) -> Iterator[None]:
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(LOCK, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        line = f"another run is at work in {Path.cwd()}: {_holder()}"
        if tell is None:
            raise BusyError(f"{line}; wait until it has ended, or stop it") from None
        tell(f"{line}; waiting until it has ended")
        lock.acquire(poll_interval=0.5)
    try:
        with written_whole(HOLDER) as beside:
            beside.write_text(json.dumps({"what": what, "process": os.getpid(), "since": time.strftime("%F %T")}))
        yield
    finally:
        lock.release()


def _holder() -> str:
    try:
        found = json.loads(HOLDER.read_text(encoding="utf-8"))
        return f"{found['what']} (process {found['process']}, since {found['since']})"
    except (OSError, ValueError, LookupError, TypeError):  # it has the lock and is about to say who it is
        return "it has just begun"
