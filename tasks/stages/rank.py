"""rank: every candidate's place; the winner is rank 1."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from eagleeye.scoring.rank import judge, rank
from eagleeye.task.scores import VANILLA, Scorer
from tasks.artifacts import CANDIDATES, RANKING, SCORES, read_table, rows_of, write_table
from tasks.params import Params
from tasks.record.beside import tell
from tasks.run.context import Context
from tasks.task_rules import ranked_by, task_for

SHOWN = 5


def run(params: Params, context: Context) -> None:
    """Join candidates and scores, rank those that compete, and put the others without a rank below them."""
    table = read_table(CANDIDATES).merge(read_table(SCORES), on="id", validate="one_to_one")
    competes = table.pop("competes")
    by = ranked_by(params)
    ranked = judge(rank(table[competes], by), by)
    references = [judge(rank(row.to_frame().T, by), by) for _, row in table[~competes].iterrows()]
    references = [row.assign(rank=None) for row in references]
    ranking = pd.concat([part.astype({"rank": "Int64"}) for part in (ranked, *references)])
    write_table(RANKING, ranking, task_for(params))
    tell("rank", params, context)
    shown = pd.concat([ranked.head(SHOWN), *references])
    columns = ["rank", "id", by.name, "95 %", "images", "beats next", "vanilla", "MACs"]
    context.table("ranking", columns, [_cells(row, by.first) for row in rows_of(shown)])
    context.say(_verdict(ranked))


def _verdict(ranked: pd.DataFrame) -> str:
    winner = ranked.iloc[0]
    line = f"rank: {winner['id']} wins"
    if len(ranked) > 1:
        line += f"; it is really better than {ranked['id'].iloc[1]} with a probability of {winner['beats_next']:.1%}"
    return line


def _cells(row: Mapping[str, Any], by: Scorer) -> list[str]:
    rank = row["rank"]
    vanilla = row[VANILLA + by.name]
    text = by.evidence.text
    return [
        "-" if pd.isna(rank) else str(rank),
        row["id"],
        text(row[by.name]),
        # The unit once: a terminal of 80 columns has room for that.
        f"{text(row['score_low'], exact=False).rstrip('%')}-{text(row['score_high'], exact=False)}",
        f"{row['images']:,}",
        "-" if pd.isna(row["beats_next"]) else f"{row['beats_next']:.1%}",
        "-" if pd.isna(vanilla) else text(vanilla),
        f"{row['macs_fraction']:.2%}",
    ]
