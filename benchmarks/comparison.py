"""The ways side by side: the same candidates in the same run, block by block in turn."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.process import VARIANTS, WAYS, Worker

BLOCKS = 4
"""Rounds: the ways take turns, so that all of them see the machine's good and bad moments."""


def compare(subject: str, count: int) -> pd.DataFrame:
    """Score the same candidates in every way.

    Args:
        subject: Name of a subject.
        count: Number of candidates.

    Returns:
        One row per way, candidate and round: subject, way, id, accuracy, images, macs, seconds, memory, limit, and for
        the engine place and scored. Ways that score one candidate at a time see each once, the engine all in every
        round, its variants all in the first one.
    """
    workers = {way: Worker(way, subject, count) for way in WAYS}
    rows = []
    for number, block in enumerate(np.array_split(np.arange(count), BLOCKS)):
        for way, worker in workers.items():
            if number and way in VARIANTS:
                continue
            places = range(count) if way.startswith("engine") else block.tolist()
            rows += [{"way": way, "round": number, **row} for row in worker.score(places)]
            each = sum(row["seconds"] for row in rows[-len(places) :]) / max(len(places), 1)
            print(f"{subject}: round {number + 1} of {BLOCKS}, {way}: {each:.2f} s per candidate", flush=True)
    facts = pd.DataFrame([{"way": way, **worker.end()} for way, worker in workers.items()])
    return pd.DataFrame(rows).merge(facts, on="way").assign(subject=subject)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Compare the ways with the published one.

    Args:
        table: From `compare`, of one subject.

    Returns:
        Per way: median seconds per candidate, speed-up over `published` and over `plain`, Spearman's correlation of the
        candidates' order with the published scores, regret (points that the published score of the way's winner lies
        below the best), images per candidate, peak memory in MiB, GMAC/s, and their share of a large convolution's.
    """
    published = table[table["way"] == "published"].set_index("id")["accuracy"]
    seconds = table.groupby("way")["seconds"].median()
    rows = []
    for way in WAYS:
        mine = table[table["way"] == way]
        once = mine.drop_duplicates("id").set_index("id")
        merit = -once["place"] if way.startswith("engine") else once["accuracy"]
        merit = merit.reindex(published.index)
        speed = mine["macs"].sum() / mine["seconds"].sum()
        rows.append(
            {
                "way": way,
                "s/candidate": seconds[way],
                "speed-up": seconds["published"] / seconds[way],
                "over plain": seconds["plain"] / seconds[way],
                "Spearman": stats.spearmanr(merit, published).statistic,
                "regret": 100 * (published.max() - published[merit.idxmax()]),
                "images": once["images"].mean(),
                "MiB": mine["memory"].iloc[0],
                "GMAC/s": speed / 1e9,
                "of large conv.": speed / mine["limit"].iloc[0],
            }
        )
    return pd.DataFrame(rows)
