"""A search's identity: the hash of everything that determines its scores, and its record in MLflow."""

from collections.abc import Mapping
from contextlib import AbstractContextManager

import pandas as pd

from tasks.artifacts import (
    BASELINE,
    CALIBRATION,
    GROUPS,
    LIBRARY,
    STRATEGIES,
    SUB_VALIDATION,
    read_table,
)
from tasks.params import Params
from tasks.scorebook import Scores, search_key
from tasks.tracking import Candidate, SearchRun, search_run


def key_of(params: Params) -> str:
    """Hash of everything that determines the candidates' scores; other settings leave it as it is."""
    settings = params.model_dump(mode="json")
    parts = {
        "baseline": BASELINE,
        "strategies": STRATEGIES,
        "calibration": CALIBRATION,
        "sub_validation": SUB_VALIDATION,
        "preprocess": settings["data"]["preprocess"],
        "model": {key: settings["model"][key] for key in ("name", "options")},
        "exclude": settings["strategies"]["exclude"],
        "evaluate": {key: value for key, value in settings["evaluate"].items() if key != "candidates_per_task"},
        "library": LIBRARY / "channels",
        "data": LIBRARY / "data",
        "models": LIBRARY / "models",
    }
    return search_key(parts)


def record_search(params: Params) -> AbstractContextManager[SearchRun]:
    """The search's run in MLflow: the same one whichever stage asks.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    name = f"{params.model.name} at {budget_text(params)}"
    return search_run(key_of(params), name, uri=params.tracking.uri, experiment=params.tracking.experiment)


def budget_text(params: Params) -> str:
    """The budget in words."""
    limits = [("MACs", params.strategies.budget.macs), ("parameters", params.strategies.budget.params)]
    return ", ".join(f"{_amount(value)} {unit}" for unit, value in limits if value is not None)


def _amount(value: float) -> str:
    return f"{value:.0%}" if value <= 1 else f"{value:,.0f}"


def candidates(strategies: pd.DataFrame, scores: Mapping[str, Scores]) -> list[Candidate]:
    """MLflow's view of scored candidates.

    Args:
        strategies: The table of strategies.
        scores: Scores by id; candidates without a score are left out.
    """
    groups = list(read_table(GROUPS)["name"])
    columns = ["id", "origin", "macs", "params", "macs_fraction", "params_fraction"]
    rows = strategies[strategies["id"].isin(list(scores))]
    return [
        Candidate(
            **{column: row[column] for column in columns},
            rates=dict(zip(groups, map(float, row["rates"]), strict=True)),
            **vars(scores[row["id"]]),
        )
        for row in rows.to_dict("records")
    ]
