"""A search's record in MLflow: one run for the same network, candidates and way of scoring."""

from collections.abc import Mapping
from contextlib import AbstractContextManager

import pandas as pd

from eagleeye.racing import Rung
from tasks.artifacts import GROUPS, STRATEGIES, read_table
from tasks.bench import scoring_key
from tasks.content_key import content_key
from tasks.params import Params
from tasks.scorebook import Scores
from tasks.tracking import Candidate, SearchRun, search_run


def record_search(params: Params) -> AbstractContextManager[SearchRun]:
    """The search's run in MLflow: the same one whichever stage asks.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    wanted = params.strategies
    # Later generations follow from the first one, the scores and these.
    bred = [wanted.sampler, wanted.generations, wanted.count] if wanted.generations > 1 else None
    key = content_key({"scoring": scoring_key(params), "strategies": STRATEGIES, "bred": bred})
    name = f"{params.model.name} at {budget_text(params)}"
    return search_run(key, name, uri=params.tracking.uri, experiment=params.tracking.experiment)


def budget_text(params: Params) -> str:
    """The budget in words."""
    budget = params.strategies.budget
    limits = [("MACs", budget.macs), ("parameters", budget.params), ("latency", budget.latency)]
    return ", ".join(f"{_amount(value)} {unit}" for unit, value in limits if value is not None)


def _amount(value: float) -> str:
    return f"{value:.0%}" if value <= 1 else f"{value:,.0f}"


def candidates(strategies: pd.DataFrame, scores: Mapping[str, Scores], rung: Rung) -> list[Candidate]:
    """MLflow's view of scored candidates.

    Args:
        strategies: The table of strategies.
        scores: Scores by id; candidates without a score are left out.
        rung: With how many images they were scored.
    """
    groups = list(read_table(GROUPS)["name"])
    columns = ["id", "origin", "macs", "params", "macs_fraction", "params_fraction"]
    figures = ["accuracy", "loss", "vanilla_accuracy", "vanilla_loss", "seconds"]
    rows = strategies[strategies["id"].isin(list(scores))]
    return [
        Candidate(
            **{column: row[column] for column in columns},
            rates=dict(zip(groups, map(float, row["rates"]), strict=True)),
            **{figure: getattr(scores[row["id"]], figure) for figure in figures},
            images=rung.sub_validation,
        )
        for row in rows.to_dict("records")
    ]
