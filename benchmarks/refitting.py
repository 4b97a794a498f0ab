"""What refitting and second-order importance bring: scores with adaptive BN before any fine-tuning.

`python -m benchmarks.refitting --subject cifar10_resnet20` prints a row for the even network, for allocated widths and
for drawn candidates.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
import torch

import eagleeye
from benchmarks.subjects import Subject, names, open_subject
from eagleeye.data import Batches
from eagleeye.reconstruction import Reconstruction
from eagleeye.strategies import even_filled

SCORED, DRAWN = 2048, 16
BUDGETS = (0.5, 0.25, 0.125)


def main() -> None:
    """Print the table of a subject."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refitting", description=__doc__)
    parser.add_argument("--subject", default=names()[0], help="what to prune")
    parser.add_argument("--macs", type=float, nargs="+", default=BUDGETS, help="budgets, fractions of the MACs")
    options = parser.parse_args()
    subject = open_subject(options.subject)
    calibration = batches(subject)
    started = time.perf_counter()
    found = subject.reconstruction
    measured = time.perf_counter()
    found.removals  # noqa: B018  the order is made when it is asked for
    print(f"{subject.name}: measured in {measured - started:.1f} s, ordered in {time.perf_counter() - measured:.2f} s")
    print("| MACs | filters go by | refitted | even | allocated 1, 1.25, 1.5, 2 | drawn: mean, best |")
    print("|---|---|---|---|---|---|")
    for macs in options.macs:
        for criterion in ("l1", "obs"):
            for refit in (None, found):
                print(row(subject, calibration, found, macs, criterion, refit), flush=True)


def batches(subject: Subject) -> Batches[torch.Tensor]:
    """The calibration images."""
    return Batches(subject.calibration, subject.preprocess, batch_size=128, device="cpu", labelled=False)


def row(
    subject: Subject,
    calibration: Batches[torch.Tensor],
    found: Reconstruction,
    macs: float,
    criterion: str,
    refit: Reconstruction | None,
) -> str:
    """The scores of one way at one budget."""
    order = found.order if criterion == "obs" else eagleeye.criterion("l1")
    sub_validation = Batches(subject.sub_validation, subject.preprocess, batch_size=128, device="cpu", labelled=True)
    method = eagleeye.Method(criterion=order, refit=refit)
    engine = eagleeye.Engine(subject.network, subject.space, calibration, sub_validation, method=method)
    shell = eagleeye.Shell(subject.space, eagleeye.Budget(macs=macs), 0.7 if macs == 0.5 else 0.9)
    even = scores(engine, [even_filled(shell)])
    allocated = scores(engine, [s for s in eagleeye.starters(shell, found.errors) if s.id != "even-filled"])
    drawn = scores(engine, eagleeye.sampler("uniform")(shell, count=DRAWN, seed=0))
    told = ", ".join(f"{score:.1%}" for score in allocated)
    done = "yes" if refit else "no"
    return f"| {macs:.1%} | {criterion} | {done} | {even[0]:.1%} | {told} | {np.mean(drawn):.1%}, {max(drawn):.1%} |"


def scores(engine: eagleeye.Engine, strategies: Sequence[eagleeye.Strategy]) -> list[float]:
    """Top-1 accuracies with adaptive BN."""
    return [engine.score(one, calibration=384, sub_validation=SCORED).score.accuracy for one in strategies]


if __name__ == "__main__":
    main()
