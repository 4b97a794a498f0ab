"""The flow `eagleeye`: brings every stage of dvc.yaml up to date, and shows the ranking and the result."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from prefect import flow, runtime, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from eagleeye.errors import EagleEyeError
from flows.prefect_context import DELAYS, FlowContext, failed, may_pass
from tasks.artifacts import RANKING, read_table
from tasks.settings import override, preview, read_params
from tasks.stages import Outcome, bring_up_to_date, stage_names
from tasks.summary import headline, markdown

SETTINGS = Path("params.yaml")
SHOWN = 100


def _run_name() -> str:
    started = f"{runtime.flow_run.scheduled_start_time:%m-%d %H:%M}"
    try:
        params = preview(SETTINGS, runtime.flow_run.parameters.get("overrides") or {})
    except EagleEyeError:
        return f"search, {started}"
    return f"{params.model.name}, {params.strategies.count} candidates, {started}"


@flow(name="eagleeye", flow_run_name=_run_name)
def search(overrides: dict[str, Any] | None = None) -> State[Any]:
    """Prune the network of params.yaml to its budget, running only what is out of date.

    Args:
        overrides: Settings to change first, by dotted key, for instance {"strategies.count": 50}. They are written
            into params.yaml, as `dvc exp run -S` does, so that the record of the run says what ran.
    """
    logger, root = get_run_logger(), Path.cwd()
    if str(root) not in sys.path:  # where package.module:function of the settings is looked up
        sys.path.insert(0, str(root))
    try:
        for line in override(SETTINGS, overrides or {}):
            logger.info("params.yaml: %s", line)
        read_params(SETTINGS)
        for name in stage_names(root):
            outcome = run_stage(name, str(root), return_state=True)
            if not outcome.is_completed():
                return Failed(message=outcome.message)
        publish()
    except EagleEyeError as error:
        return failed(error)
    return Completed(message=headline())


@task(
    name="stage",
    task_run_name="{name}",
    retries=len(DELAYS),
    retry_delay_seconds=DELAYS,
    retry_condition_fn=may_pass,
    persist_result=False,
)
def run_stage(name: str, root: str) -> State[Any]:
    """Bring one stage up to date.

    Args:
        name: The stage, which is also the name of its module in tasks/.
        root: The project's folder.
    """
    body = importlib.import_module(f"tasks.{name}").run
    context = FlowContext(name)
    try:
        outcome: Outcome = bring_up_to_date(Path(root), name, lambda: body(read_params(SETTINGS), context))
    except EagleEyeError as error:
        return failed(error, f"{name}: ")
    context.say(f"{name}: {outcome}")
    return Completed(message=outcome)


@task(name="publish", persist_result=False)
def publish() -> None:
    """Show the ranking and the result as artifacts."""
    columns = ["rank", "id", "accuracy", "images", "beats_next", "vanilla_accuracy", "macs_fraction", "params_fraction"]
    ranking = read_table(RANKING)[columns]
    shown = pd.concat([ranking.head(SHOWN), ranking[ranking["rank"].isna()]]).drop_duplicates("id")
    rows = shown.astype(object).where(shown.notna(), None).to_dict("records")
    create_table_artifact(rows, key="ranking", description=f"The best {SHOWN} candidates and the references")
    create_markdown_artifact(markdown(), key="report", description="The pruned network")
