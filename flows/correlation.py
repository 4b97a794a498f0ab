"""The deployment `eagleeye/correlation`: does the score tell the accuracy after fine-tuning?"""

from typing import Annotated, Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.walk import SETTINGS, bring_up, in_project, previewed, started
from tasks.artifacts import COEFFICIENTS, read_table, rows_of
from tasks.params import Params
from tasks.run.study_summary import headline, markdown
from tasks.settings import override, read_params

STUDY = "correlation"


def _run_name() -> str:
    params = previewed(STUDY)
    if params is None:
        return f"correlation, {started()}"
    wanted = params.correlation
    return f"correlation, {params.model.name}, {wanted.candidates} candidates x {wanted.seeds}, {started()}"


@flow(name="eagleeye", flow_run_name=_run_name)
def correlation(
    candidates: Annotated[int | None, Field(ge=3)] = None,
    seeds: Annotated[int | None, Field(ge=1)] = None,
    epochs: Annotated[int | None, Field(ge=1)] = None,
    learning_rate: Annotated[float | None, Field(gt=0)] = None,
    level: Annotated[float | None, Field(gt=0, lt=1)] = None,
    overrides: dict[str, Any] | None = None,
) -> State[Any]:
    """Study whether the score tells the accuracy after fine-tuning, for the network and data of params.yaml.

    Brings the search up to date as far as the ranking, fine-tunes candidates from all over it, and compares. Values
    that are given are written into params.yaml, and the study is put into its `studies`: from then on `dvc repro` keeps
    it up to date as well.

    Args:
        candidates: So many candidates are fine-tuned, spread evenly over the ranking. Left empty, this and every other
            parameter is as in params.yaml.
        seeds: Fine-tunings of every candidate, with different seeds: how much chance there is in the accuracy.
        epochs: Passes of fine-tuning over the training images, the same for every candidate.
        learning_rate: Peak learning rate of fine-tuning.
        level: Of the confidence intervals, for instance 0.95.
        overrides: Any other settings by dotted key, for instance {"correlation.training.seed": 7}.
    """
    return in_project(STUDY, _work)


def _work(params: Params) -> str:
    override(SETTINGS, {"studies": list(dict.fromkeys([*params.studies, STUDY]))})
    bring_up(f"study@{STUDY}")
    publish()
    return headline(read_params(SETTINGS))


@task(name="publish", task_run_name="publish", persist_result=False)
def publish() -> None:
    """Show the coefficients and the answer as artifacts."""
    table = read_table(COEFFICIENTS)
    rows = rows_of(table.astype(object).where(table.notna(), None))
    create_table_artifact(rows, key="coefficients", description="How well each score tells the accuracy")
    text = markdown(read_params(SETTINGS))
    create_markdown_artifact(text, key="correlation", description="Does the score tell the accuracy?")
