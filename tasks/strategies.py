"""strategies: the candidates, one pruning rate per group of channels, all within the budget."""

import pandas as pd

from eagleeye.channels import Space
from eagleeye.strategies import Budget, Strategy, even, sample
from tasks.artifacts import GROUPS, STRATEGIES, write_table
from tasks.context import Context
from tasks.network import build_network
from tasks.params import Params
from tasks.space import trace_network


def run(params: Params, context: Context) -> None:
    """Draw the candidates; the network's weights do not matter here.

    Raises:
        TraceError: The network's graph cannot be followed.
        BudgetError: The budget is out of reach or too rare.
    """
    wanted = params.strategies
    space = trace_network(params, build_network(params))
    for reason in space.left_out:
        context.warn(f"left out: {reason}")
    budget = Budget(macs=wanted.budget.macs, params=wanted.budget.params, tolerance=wanted.budget.tolerance)
    drawn = sample(
        space,
        budget,
        count=wanted.count,
        max_rate=wanted.max_rate,
        seed=wanted.seed,
        max_draws=wanted.max_draws,
    )
    rows = [_row(strategy, "uniform", space) for strategy in drawn]
    if wanted.even:
        rows.append(_row(even(space, budget), "even", space))
    write_table(GROUPS, _groups(space))
    write_table(STRATEGIES, pd.DataFrame(rows))
    context.say(
        f"strategies: {len(drawn)} candidates over {len(space.groups)} groups of channels; the full network has "
        f"{space.full_cost.macs:,} MACs and {space.full_cost.params:,} parameters"
    )


def _row(strategy: Strategy, origin: str, space: Space) -> dict[str, object]:
    return {
        "id": strategy.id,
        "origin": origin,
        "macs": strategy.macs,
        "params": strategy.params,
        "macs_fraction": strategy.macs / space.full_cost.macs,
        "params_fraction": strategy.params / space.full_cost.params,
        "rates": list(strategy.rates),
        "widths": list(strategy.widths),
    }


def _groups(space: Space) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"group": index, "name": group.name, "channels": group.channels, "members": list(group.members)}
            for index, group in enumerate(space.groups)
        ]
    )
