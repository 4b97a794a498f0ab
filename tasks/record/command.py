"""record: MLflow is told what is in artifacts/, and given what waits for it. No stage: `dvc repro` does not know it.

DVC restores the outputs of a stage (from its run cache, by `dvc checkout`, `dvc pull`) without running it, and so
without MLflow hearing of it.
"""

from pathlib import Path

from tasks.artifacts import OUTBOX
from tasks.params import Params
from tasks.record.search import deliver_waiting, open_courier, record_search
from tasks.run.context import Context
from tasks.run.walk import current_stages, module_of, stage_names

RECORDING = ("evaluate", "rank", "finetune", "report", "study@correlation")


def run(params: Params, context: Context) -> None:
    """Record the stages whose artefacts belong to the settings, and deliver what waits; what is known stays as it is.

    Raises:
        TrackingError: MLflow refuses a record.
    """
    stages, current = stage_names(Path.cwd()), current_stages(Path.cwd())
    told = [stage for stage in RECORDING if stage in current]
    deliver_waiting(params, context)
    if told:
        with record_search(params, context) as recorder:
            for stage in told:
                module_of(stage).record(params, recorder)
    if stale := [stage for stage in RECORDING if stage in stages and stage not in current]:
        context.warn(f"record: {', '.join(stale)}: not up to date, and so not recorded; `dvc repro` runs and records")
    context.say(f"record: {', '.join(told) or 'nothing'} recorded, {open_courier().outbox.count():,} records wait")


def tell(stage: str, params: Params, context: Context) -> None:
    """Record a stage that was restored instead of run, if it is one that records.

    Raises:
        TrackingError: MLflow refuses a record.
    """
    if stage in RECORDING:
        with record_search(params, context) as recorder:
            module_of(stage).record(params, recorder)


def drop(context: Context) -> None:
    """Forget what waits for MLflow; what is in artifacts/ can be recorded again."""
    dropped = open_courier().outbox.clear()
    context.say(f"record: {dropped:,} waiting records dropped from {OUTBOX}; `python -m tasks record` records anew")
