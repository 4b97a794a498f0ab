"""The deployment `eagleeye/search`: brings every stage up to date, and shows the ranking and the result."""

from typing import Annotated, Any

import pandas as pd
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.walk import bring_up, in_project, previewed, say, started
from tasks.artifacts import RANKING, read_table, rows_of
from tasks.params import Params
from tasks.run.summary import headline, markdown, ranking_text, result_text

SHOWN = 100
LAST = "report"
NAME = "search"


def _run_name() -> str:
    params = previewed(NAME)
    if params is None:
        return f"search, {started()}"
    return f"{params.model.name}, {params.strategies.count} candidates, {started()}"


@flow(name="eagleeye", flow_run_name=_run_name)
def search(
    macs: Annotated[float | None, Field(gt=0)] = None,
    parameters: Annotated[float | None, Field(gt=0)] = None,
    latency: Annotated[float | None, Field(gt=0)] = None,
    candidates: Annotated[int | None, Field(ge=1)] = None,
    seed: Annotated[int | None, Field(ge=0)] = None,
    top_k: Annotated[int | None, Field(ge=1)] = None,
    epochs: Annotated[int | None, Field(ge=1)] = None,
    overrides: dict[str, Any] | None = None,
) -> State[Any]:
    """Prune the network of params.yaml to its budget, running only what is out of date.

    Values that are given are written into params.yaml, as `dvc exp run -S` does, so that the record of the run says
    what ran.

    Args:
        macs: Budget of multiply-accumulates: up to 1 a fraction of the full network's, above 1 a count. Left empty,
            this and every other parameter is as in params.yaml.
        parameters: Budget of parameters: up to 1 a fraction of the full network's, above 1 a count.
        latency: Budget of the forward pass: up to 1 a fraction of the full network's, above 1 milliseconds.
        candidates: How many candidates are drawn and scored.
        seed: Seed of the draws.
        top_k: So many of the best candidates are fine-tuned.
        epochs: Passes of fine-tuning over the training images.
        overrides: Any other settings by dotted key, for instance {"strategies.max_rate": 0.8}, or
            {"strategies.budget.macs": null} to drop that budget.
    """
    return in_project(NAME, _work)


def _work(params: Params) -> str:
    bring_up(LAST)
    publish(params)
    say(*outcome(params))
    return headline(params)


def outcome(params: Params) -> tuple[str, str]:
    """The ranking and the result, as text.

    Args:
        params: The settings.
    """
    return ranking_text(params), result_text(params)


@task(name="publish", task_run_name="publish", persist_result=False)
def publish(params: Params) -> None:
    """Show the ranking and the result as artifacts.

    Args:
        params: The settings.
    """
    ranking = read_table(RANKING)
    by = ranking["ranked_by"].iloc[0]
    columns = ["rank", "id", by, "images", "beats_next", f"vanilla_{by}", "macs_fraction", "params_fraction"]
    ranking = ranking[columns].round(4)
    shown = pd.concat([ranking.head(SHOWN), ranking[ranking["rank"].isna()]]).drop_duplicates("id")
    rows = rows_of(shown.astype(object).where(shown.notna(), None))
    create_table_artifact(rows, key="ranking", description=f"The best {SHOWN} candidates and the references")
    create_markdown_artifact(markdown(params), key="report", description="The pruned network")
