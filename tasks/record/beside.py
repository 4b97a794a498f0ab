"""Keeps MLflow up to date beside a stage's work, which neither waits for it nor fails without it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache

from eagleeye.errors import EagleEyeError
from tasks.params import Params
from tasks.record.keeper import Keeper
from tasks.record.progress import Progress
from tasks.record.unshown import Unshown
from tasks.record.view import view_of
from tasks.run.context import Context

BEFORE = {
    "evaluate": (),
    "rank": ("evaluate",),
    "finetune": ("evaluate", "rank"),
    "report": ("evaluate", "rank", "finetune"),
    "study@correlation": ("evaluate", "rank"),
    "extra": ("evaluate", "rank"),
}
"""Which stages' tables are up to date when a stage begins, as DVC sees to."""


@contextmanager
def recording(stage: str, params: Params, context: Context) -> Iterator[Progress]:
    """Show in MLflow what a stage does while the block lasts, and what its tables say when it ends.

    Args:
        stage: Name as in dvc.yaml.
        params: The settings.
        context: Warned if MLflow does not answer; whoever records next shows what it has missed.

    Yields:
        Where the stage tells what is in no table yet.

    Raises:
        TrackingError: MLflow refuses.
    """
    if os.environ.get("RANK", "0") != "0":  # under torchrun the first process speaks for its fellows
        yield Progress()
        return
    begun = view_of(params, [])
    kept = Unshown.of(stage, begun)
    kept.begin(begun)
    progress = Progress(kept.add)
    before = cache(lambda: view_of(params, BEFORE[stage]))
    keeper = Keeper(params.tracking, kept, lambda: progress.added_to(before()))
    keeper.meet(context)
    try:
        yield progress
    except BaseException as error:
        with suppress(EagleEyeError):  # the stage's own error is the one to tell
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            keeper.end(progress.added_to(before()), status, context)
        raise
    keeper.end(progress.added_to(view_of(params, [*BEFORE[stage], stage])), "FINISHED", context)


def tell(stage: str, params: Params, context: Context) -> None:
    """Show a stage whose tables are there, if it is one of those that MLflow shows.

    Raises:
        TrackingError: MLflow refuses.
    """
    if stage in BEFORE:
        bring_up_to_date([*BEFORE[stage], stage], params, context, name=stage)


def bring_up_to_date(
    stages: Sequence[str], params: Params, context: Context, status: str = "FINISHED", name: str = "record"
) -> None:
    """Bring MLflow up to date with the tables of some stages, and with what it has missed; again, it changes nothing.

    Args:
        stages: Those whose tables belong to the settings; without any, what MLflow has missed is all.
        params: The settings.
        context: Warned if MLflow does not answer.
        status: How the last of them ended.
        name: For what it is done.

    Raises:
        TrackingError: MLflow refuses.
    """
    view = view_of(params, stages) if stages else None
    keeper = Keeper(params.tracking, Unshown.of(name, view) if view else None, lambda: view)
    keeper.end(view, status, context)
