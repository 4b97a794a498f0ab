"""What the flows share: one run at a time in the project's folder, settings first, then stages as Prefect tasks."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prefect import runtime, task
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed

from eagleeye.errors import ConfigError, EagleEyeError
from eagleeye.project.library import require_same
from flows.form import KEYS, show_values
from flows.own_log import write_to_own_log
from flows.prefect_context import DELAYS, FlowContext, failed, may_pass
from tasks.__main__ import LONG
from tasks.params import Params
from tasks.record.beside import tell
from tasks.run.lock import only_run
from tasks.run.request import check_request
from tasks.run.walk import Outcome, bring_up_to_date, module_of, repair, stage_names
from tasks.settings import override, preview, read_params

SETTINGS = Path("params.yaml")
# A stage that fails by something that may pass is tried again; what it has done it does not do again.
RETRIED: dict[str, Any] = {
    "retries": len(DELAYS),
    "retry_delay_seconds": DELAYS,
    "retry_condition_fn": may_pass,
    "persist_result": False,
}


class StageError(EagleEyeError):
    """A stage has failed; its task run says the rest."""


def in_project(name: str, work: Callable[[Params], str], *, into_settings: bool = True) -> State[Any]:
    """Do a flow's work in the project's folder, the working directory, after other runs there have ended.

    Args:
        name: The deployment.
        work: Given the settings, does the work and returns the result in one line.
        into_settings: Whether parameters that are given are written into params.yaml first.

    Returns:
        The flow's state: failed with one line where the user has something to mend.
    """
    write_to_own_log()
    logger = get_run_logger()
    root = str(Path.cwd())
    if root not in sys.path:  # where package.module:function of the settings is looked up
        sys.path.insert(0, root)
    try:
        with only_run(f"flow run {runtime.flow_run.name}", logger.warning):
            require_same(Path.cwd())
            for line in repair(Path.cwd()):
                logger.warning(line)
            changes = _changes(KEYS[name]) if into_settings else {}
            check_request(SETTINGS, changes)
            for line in override(SETTINGS, changes):
                logger.info("params.yaml: %s", line)
            params = read_params(SETTINGS)
            show_values(params)
            return Completed(message=work(params))
    except EagleEyeError as error:
        state = failed(error)
        # The state's message is not shown to whoever watches the run in a terminal.
        logger.error("%s failed: %s\nOnce that is mended, run it again: what is done is kept.", name, state.message)
        return state


def say(*texts: str) -> None:
    """Log texts, which a terminal that watches the run shows (`prefect deployment run … --watch`)."""
    for text in texts:
        get_run_logger().info(text)


def previewed(name: str) -> Params | None:
    """The settings as a deployment's flow run will leave them; None if they are wrong."""
    try:
        return preview(SETTINGS, _changes(KEYS[name]))
    except EagleEyeError:
        return None


def _changes(keys: Mapping[str, str]) -> dict[str, Any]:
    """The settings that the flow run's parameters ask for; parameters without a value leave them as they are."""
    values = runtime.flow_run.parameters
    overrides = dict(values.get("overrides") or {})
    named = {key: values[name] for name, key in keys.items() if values.get(name) is not None}
    if twice := named.keys() & overrides.keys():
        key = min(twice)
        name = next(name for name in keys if keys[name] == key)
        raise ConfigError(f"overrides: {key} is also given by the parameter {name}; give one of them")
    return named | overrides


def started() -> str:
    """When the flow run was to start, for its name."""
    return f"{runtime.flow_run.scheduled_start_time:%m-%d %H:%M}"


def bring_up(last: str) -> None:
    """Bring a stage and all that it needs up to date.

    Args:
        last: The stage.

    Raises:
        StageError: One of them has failed.
    """
    root = Path.cwd()
    for name in stage_names(root, last):
        outcome = run_stage(name, str(root), return_state=True)
        if not outcome.is_completed():
            raise StageError(outcome.message)


def _body(name: str, context: FlowContext) -> None:
    params = read_params(SETTINGS)
    if name in LONG:
        # Brings PyTorch's exporters along, which a flow is not to wait for at its beginning.
        from tasks.ahead.rough import rest

        if line := rest(name, params, start=0.0):
            context.say(line)
    module_of(name).run(params, context)


@task(name="stage", task_run_name="{name}", **RETRIED)
def run_stage(name: str, root: str) -> State[Any]:
    """Bring one stage up to date.

    Args:
        name: The stage.
        root: The project's folder.
    """
    try:
        with FlowContext(name) as context:
            outcome: Outcome = bring_up_to_date(Path(root), name, lambda: _body(name, context))
            if outcome == "restored":  # DVC brought the outputs back; MLflow has not heard of it
                tell(name, read_params(SETTINGS), context)
            context.say(f"{name}: {outcome}")
    except EagleEyeError as error:
        return failed(error, f"{name}: ")
    return Completed(message=outcome)
