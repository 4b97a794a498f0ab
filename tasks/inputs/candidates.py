"""Candidates as rows of a table, and back."""

from collections.abc import Iterable

import pandas as pd

from eagleeye.channels import Space
from eagleeye.strategies import Strategy
from tasks.artifacts import REFERENCE, rows_of
from tasks.params import Params


def table_of(strategies: Iterable[Strategy], origin: str, space: Space) -> pd.DataFrame:
    """Strategies as rows of strategies.parquet.

    Args:
        strategies: The strategies.
        origin: Which sampler drew them.
        space: The network's search space.
    """
    return pd.DataFrame([_row(strategy, origin, space) for strategy in strategies])


def strategies_of(table: pd.DataFrame) -> list[Strategy]:
    """The strategies of a table.

    Args:
        table: Rows as `table_of` makes them.
    """
    return [Strategy.of(row) for row in rows_of(table)]


def is_reference(table: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows are there for comparison, whatever becomes of them in the race.

    Args:
        table: Rows as `table_of` makes them.
    """
    return table["origin"] == REFERENCE


def competing(params: Params, table: pd.DataFrame) -> pd.DataFrame:
    """The rows that may win: all of them, except that references do not compete by the published protocol.

    Args:
        params: The settings.
        table: Rows as `table_of` makes them.
    """
    return table[~is_reference(table)] if params.evaluate.mode == "paper" else table


def _row(strategy: Strategy, origin: str, space: Space) -> dict[str, object]:
    return {
        "id": strategy.id,
        "origin": origin,
        "macs": strategy.macs,
        "params": strategy.params,
        "macs_fraction": strategy.macs / space.full_cost.macs,
        "params_fraction": strategy.params / space.full_cost.params,
        "latency": strategy.latency,
        "rates": list(strategy.rates),
        "widths": list(strategy.widths),
    }
