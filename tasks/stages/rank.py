"""rank: every candidate's place; the winner is rank 1."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from eagleeye.scoring.rank import judge, rank
from eagleeye.task.classification import CLASSIFICATION, SCORERS
from eagleeye.task.scores import VANILLA
from tasks.artifacts import CANDIDATES, RANKING, SCORES, read_table, rows_of, write_table
from tasks.params import Params
from tasks.record.beside import tell
from tasks.run.context import Context

SHOWN = 5


def run(params: Params, context: Context) -> None:
    """Join candidates and scores, rank those that compete, and put the others without a rank below them."""
    table = read_table(CANDIDATES).merge(read_table(SCORES), on="id", validate="one_to_one")
    competes = table.pop("competes")
    by = CLASSIFICATION.order(params.rank.by)
    ranked = judge(rank(table[competes], by), by)
    references = [judge(rank(row.to_frame().T, by), by) for _, row in table[~competes].iterrows()]
    references = [row.assign(rank=None) for row in references]
    ranking = pd.concat([part.astype({"rank": "Int64"}) for part in (ranked, *references)])
    write_table(RANKING, ranking)
    tell("rank", params, context)
    shown = pd.concat([ranked.head(SHOWN), *references])
    columns = ["rank", "id", params.rank.by, "95 %", "images", "beats next", "vanilla", "MACs"]
    context.table("ranking", columns, [_cells(row) for row in rows_of(shown)])
    context.say(_verdict(ranked))


def _verdict(ranked: pd.DataFrame) -> str:
    winner = ranked.iloc[0]
    line = f"rank: {winner['id']} wins"
    if len(ranked) > 1:
        line += f"; it is really better than {ranked['id'].iloc[1]} with a probability of {winner['beats_next']:.1%}"
    return line


def _cells(row: Mapping[str, Any]) -> list[str]:
    rank, by = row["rank"], row["ranked_by"]
    vanilla, text = row[VANILLA + by], SCORERS[by].evidence.text
    return [
        "-" if pd.isna(rank) else str(rank),
        row["id"],
        text(row[by]),
        # The unit once: a terminal of 80 columns has room for that.
        f"{text(row['score_low'], exact=False).rstrip('%')}-{text(row['score_high'], exact=False)}",
        f"{row['images']:,}",
        "-" if pd.isna(row["beats_next"]) else f"{row['beats_next']:.1%}",
        "-" if pd.isna(vanilla) else text(vanilla),
        f"{row['macs_fraction']:.2%}",
    ]
