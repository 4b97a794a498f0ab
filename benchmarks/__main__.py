"""`python -m benchmarks`: what scoring candidates takes, against the published protocol and plain code, in one run."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pandas as pd
import torch

from benchmarks.arithmetic import profiled
from benchmarks.comparison import compare, summary
from benchmarks.growth import COUNTS, grow
from benchmarks.subjects import names, open_subject
from benchmarks.ways import Raced

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure, print the tables, and keep them for `python -m benchmarks.plots`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--candidates", type=int, default=8, help="strategies at half of the MACs; a correlation needs 40"
    )
    parser.add_argument("--subjects", nargs="+", default=names(), help="what to measure on")
    parser.add_argument("--growth", action="store_true", help="also 100, 1,000 and 10,000 candidates on the digits")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")
    for subject in arguments.subjects:
        table = compare(subject, arguments.candidates)
        table.to_csv(RESULTS / f"{subject}.csv", index=False)
        _show(f"{subject}, {arguments.candidates} candidates at half of the MACs", summary(table))
        _profile(subject)
    if arguments.growth:
        growth = grow(COUNTS)
        growth.to_csv(RESULTS / "growth.csv", index=False)
        _show("growth, digits", growth)


def _profile(name: str) -> None:
    subject = open_subject(name)
    table = profiled(Raced(subject), subject.candidates(4))
    _show(f"{name}: {table.attrs['arithmetic']:.0%} of the time inside the network's arithmetic", table.head(8))


def _show(title: str, table: pd.DataFrame) -> None:
    print(f"\n{title}\n{table.to_string(index=False, float_format=lambda value: f'{value:.3g}')}", flush=True)


if __name__ == "__main__":
    main()
