"""record: MLflow is shown what is in artifacts/, and what it has missed. No stage: `dvc repro` does not know it.

DVC restores the outputs of a stage (from its run cache, by `dvc checkout`, `dvc pull`) without running it, and so
without MLflow hearing of it; or MLflow was away while the stages ran.
"""

from pathlib import Path

from tasks.params import Params
from tasks.record.beside import BEFORE, bring_up_to_date
from tasks.record.unshown import unshown
from tasks.run.context import Context
from tasks.run.walk import current_stages, stage_names


def run(params: Params, context: Context) -> None:
    """Show the stages whose tables belong to the settings, how far a search has come, and all that was missed.

    Raises:
        TrackingError: MLflow refuses.
    """
    stages = stage_names(Path.cwd())
    current = current_stages(Path.cwd())
    shown = [stage for stage in stages if stage in BEFORE and stage in current]
    missed = len(unshown())
    begun = "strategies" in current
    if shown:
        bring_up_to_date([*shown, "extra"], params, context)
    else:
        bring_up_to_date(["strategies"] if begun else [], params, context, status="KILLED")
    if stale := [stage for stage in stages if stage in BEFORE and stage not in current]:
        context.warn(f"record: {', '.join(stale)}: not up to date, and so not recorded; `dvc repro` runs and records")
    if left := len(unshown()):
        context.say(f"record: {left} kept until MLflow answers")
        return
    told = ", ".join(shown) or ("what is scored so far" if begun else "nothing")
    context.say(f"record: {told} recorded" + (f", and {missed} that MLflow had missed" if missed else ""))
