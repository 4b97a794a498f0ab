"""rank: every candidate's place; the winner is rank 1."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from eagleeye.rank import rank
from tasks.artifacts import RANKING, SCORES, STRATEGIES, read_table, write_table
from tasks.context import Context
from tasks.params import Params
from tasks.search import record_search

SHOWN = 5


def run(params: Params, context: Context) -> None:
    """Join strategies and scores, rank the drawn candidates, and put references without a rank below them."""
    table = read_table(STRATEGIES).merge(read_table(SCORES), on="id", validate="one_to_one")
    drawn = table["origin"] == "uniform"
    ranked = rank(table[drawn])
    references = table[~drawn].assign(rank=pd.NA)
    ranking = pd.concat([ranked.astype({"rank": "Int64"}), references.astype({"rank": "Int64"})])
    write_table(RANKING, ranking)
    with record_search(params) as record:
        record.log_ranking(RANKING)
    shown = pd.concat([ranking.head(SHOWN), references])
    rows = [_cells(row) for row in shown.to_dict("records")]
    context.table("ranking", ["rank", "id", "accuracy", "loss", "vanilla", "MACs", "parameters"], rows)


def _cells(row: Mapping[Any, Any]) -> list[str]:
    rank, vanilla = row["rank"], row["vanilla_accuracy"]
    return [
        "-" if pd.isna(rank) else str(rank),
        row["id"],
        f"{row['accuracy']:.2%}",
        f"{row['loss']:.4f}",
        "-" if pd.isna(vanilla) else f"{vanilla:.2%}",
        f"{row['macs_fraction']:.2%}",
        f"{row['params_fraction']:.2%}",
    ]
