"""Which share of an engine's time is spent inside the network's arithmetic."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile

import eagleeye
from benchmarks.ways import Raced

ARITHMETIC = ("convolution", "batch_norm", "clamp_min", "relu", "add", "addmm", "mean", "linear", "pool")
"""Operations of a network; what is not among them is the price of running it."""


def profiled(raced: Raced, strategies: Sequence[eagleeye.Strategy]) -> pd.DataFrame:
    """Where the time of the first rung goes, on one thread.

    Args:
        raced: The engine.
        strategies: Candidates to profile.

    Returns:
        Per operation its seconds per candidate and its share of the whole, the largest first; attribute `arithmetic`
        of the table is the share of the network's arithmetic.
    """
    first = raced.first
    images = {"calibration": first.calibration, "sub_validation": first.sub_validation} if first else {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    raced.engine.score(strategies[0], **images)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        started = time.perf_counter()
        for strategy in strategies:
            raced.engine.score(strategy, **images)
        whole = time.perf_counter() - started
    torch.set_num_threads(threads)
    rows = [(event.key.removeprefix("aten::"), event.self_cpu_time_total / 1e6) for event in profiler.key_averages()]
    table = pd.DataFrame(rows, columns=["operation", "seconds"])
    inside = table["operation"].str.replace("_$", "", regex=True).apply(lambda name: name.endswith(ARITHMETIC))
    table.attrs["arithmetic"] = table.loc[inside, "seconds"].sum() / whole
    table = table.assign(share=table["seconds"] / whole, seconds=table["seconds"] / len(strategies))
    return table.sort_values("share", ascending=False, ignore_index=True)
