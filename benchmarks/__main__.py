"""`python -m benchmarks`: what scoring a candidate takes, and how far the ranking agrees with the published protocol.

One run, the same candidates, one after another in turn, so that the rows compare on a machine whose speed drifts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import pandas as pd
import torch
from torch import Tensor, nn

import eagleeye
from benchmarks.subjects import Subject, open_subject
from eagleeye.data import Batches

BATCH = 128


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--candidates", type=int, default=8, help="strategies at half of the MACs")
    arguments = parser.parse_args()
    subject = open_subject()
    table = measure(subject, arguments.candidates)
    print(f"{subject.name}, {arguments.candidates} candidates, {torch.get_num_threads()} threads")
    print(summary(table).to_string(index=False, float_format=lambda value: f"{value:.3f}"))


def measure(subject: Subject, count: int) -> pd.DataFrame:
    """Score every candidate in every way.

    Args:
        subject: What to measure on.
        count: Number of candidates.

    Returns:
        One row per candidate and way: way, id, accuracy, loss, seconds.
    """
    example = next(iter(_calibration(subject)))[:1]
    space = eagleeye.trace(subject.network, example)
    labelled = Batches(subject.sub_validation, subject.preprocess, batch_size=BATCH, device="cpu", labelled=True)
    rows = []
    for strategy in eagleeye.sample(space, eagleeye.Budget(macs=0.5), count=count, max_rate=0.7, seed=0):
        for way, adapt in _ways(subject).items():
            started = time.perf_counter()
            small: nn.Module = eagleeye.prune(subject.network, space, strategy)
            small = small.to(memory_format=torch.channels_last)
            adapt(small)
            accuracy, loss = eagleeye.evaluate(small, labelled)
            seconds = time.perf_counter() - started
            rows.append({"way": way, "id": strategy.id, "accuracy": accuracy, "loss": loss, "seconds": seconds})
    return pd.DataFrame(rows)


def _ways(subject: Subject) -> dict[str, Callable[[nn.Module], None]]:
    batches = _calibration(subject)
    return {
        "paper": lambda network: eagleeye.adapt_batch_norm(network, batches, mode="paper"),
        "reset": lambda network: eagleeye.adapt_batch_norm(network, batches),
        "vanilla": lambda network: None,
    }


def _calibration(subject: Subject) -> Batches[Tensor]:
    return Batches(subject.calibration, subject.preprocess, batch_size=BATCH, device="cpu", labelled=False)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Compare the ways with the published protocol.

    Args:
        table: From `measure`.

    Returns:
        Per way: median seconds per candidate, speed-up, Spearman correlation with `paper`, and regret: how many
        points the `paper` score of its winner lies below the best one.
    """
    scores = table.pivot(index="id", columns="way", values="accuracy")
    seconds = table.groupby("way")["seconds"].median()
    rows = []
    for way in ("paper", "reset", "vanilla"):
        regret = 100 * (scores["paper"].max() - scores["paper"].iloc[int(scores[way].argmax())])
        spearman = scores[way].corr(scores["paper"], method="spearman")
        rows.append([way, seconds[way], seconds["paper"] / seconds[way], spearman, regret])
    return pd.DataFrame(rows, columns=["way", "seconds", "speed-up", "Spearman", "regret"])


if __name__ == "__main__":
    main()
