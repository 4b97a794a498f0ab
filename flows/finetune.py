"""The deployment `eagleeye/finetune`: fine-tunes any candidate of the ranking, apart from the pipeline."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from eagleeye.errors import ConfigError, EagleEyeError
from flows.form import KEYS
from flows.prefect_context import FlowContext, failed
from flows.walk import RETRIED, SETTINGS, StageError, bring_up, in_project, started
from tasks.params import Params
from tasks.run.walk import current_stages
from tasks.settings import read_params
from tasks.task_rules import chosen_by
from tasks.work import extra

NAME = "finetune"
WATCH = "watch"
"""The stage that looks at images, checkpoint and own code, which change without DVC knowing."""


def _run_name() -> str:
    return f"fine-tune {runtime.flow_run.parameters.get('candidate')}, {started()}"


@flow(name="eagleeye", flow_run_name=_run_name)
def finetune(
    candidate: Annotated[str, Field(min_length=1)],
    epochs: Annotated[int | None, Field(ge=1)] = None,
    learning_rate: Annotated[float | None, Field(gt=0)] = None,
    seed: Annotated[int | None, Field(ge=0)] = None,
) -> State[Any]:
    """Fine-tune any candidate of the ranking, test it, and save it to artifacts/extra/<candidate>/.

    The search stays as it is: params.yaml does not change, and no stage becomes out of date. A ranking that is out of
    date, with files that were edited as well, is refused.

    Args:
        candidate: Its id in the ranking, for instance s0017; `even` is the evenly pruned network.
        epochs: Passes over the training images. Left empty, this and the other parameters are as in the section
            `finetune` of params.yaml.
        learning_rate: Peak learning rate.
        seed: Seed of the order of the images and of the augmentation.
    """
    values = runtime.flow_run.parameters
    changes = {
        key.removeprefix(f"{NAME}."): values[name] for name, key in KEYS[NAME].items() if values.get(name) is not None
    }
    return in_project(NAME, lambda _: _work(candidate, changes), into_settings=False)


def _work(candidate: str, changes: Mapping[str, Any]) -> str:
    bring_up(WATCH)
    if "rank" not in current_stages(Path.cwd()):
        raise ConfigError(
            "the ranking is not up to date with params.yaml, images, checkpoint and own code: run eagleeye/search first"
        )
    outcome = run_extra(candidate, changes, return_state=True)
    if not outcome.is_completed():
        raise StageError(outcome.message)
    return str(outcome.message)


@task(name="fine-tune", task_run_name="fine-tune {candidate}", **RETRIED)
def run_extra(candidate: str, changes: Mapping[str, Any]) -> State[Any]:
    """Fine-tune one candidate, and show the result as an artifact.

    Args:
        candidate: Its id.
        changes: Settings of `finetune` that are others than in params.yaml.
    """
    params: Params = read_params(SETTINGS)
    try:
        with FlowContext("fine-tune") as context:
            result = extra.run(params, context, candidate, changes)
    except EagleEyeError as error:
        return failed(error)
    by = chosen_by(params).first
    score = by.evidence.text(result[f"test_{by.name}"])
    line = f"{candidate}: {score} on the test set, saved as {result['file']}"
    create_markdown_artifact(_page(line, result), key=f"finetune-{candidate}", description=line)
    return Completed(message=line)


def _page(line: str, result: Mapping[str, Any]) -> str:
    facts = {name: value for name, value in result.items() if name not in ("history", "finetune")}
    rows = [f"| {name.replace('_', ' ')} | {value} |" for name, value in (facts | result["finetune"]).items()]
    return "\n".join([f"# {line}", "", "| | |", "|---|---|", *rows, ""])
