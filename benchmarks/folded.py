"""A subject without batch normalisation, for `python -m benchmarks.ideas`: it is folded into the convolutions.

Nothing is recalibrated there. Means of removed channels go into the biases, if layers are refitted.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from torch import nn
from torch.fx.experimental.optimization import fuse

from benchmarks.scores import RESULTS as SCORES
from benchmarks.scores import candidates, fits
from benchmarks.subjects import MEASURED, Subject
from eagleeye.data import Batches
from eagleeye.engine import Engine, Method
from eagleeye.scoring.evaluate import evaluate
from eagleeye.strategies import Strategy

LOOK, DRAWN = 2048, 8
"""Sub-validation images, and drawn candidates beside the starters."""


def without_norms(subject: Subject) -> Subject:
    """The subject as a network of convolutions with biases, its outputs the same but for rounding."""
    network: nn.Module = fuse(subject.network)
    return replace(subject, name=f"{subject.name} folded", network=network.eval())


def compare(subject: Subject, budget: float) -> pd.DataFrame:
    """Score the same candidates with and without batch normalisation.

    Args:
        subject: The network with batch normalisation.
        budget: Fraction of the MACs.

    Returns:
        Per way: lowest, mean and highest top-1, Spearman's correlation with the refitted scores of the network with
        batch normalisation, and with its accuracies after fine-tuning where those are on record.
    """
    strategies, plain = candidates(subject, budget, DRAWN), without_norms(subject)
    found = {
        "BN, refitted": _scores(subject, strategies, refit=True, in_turn=False),
        "folded": _scores(plain, strategies, refit=False, in_turn=False),
        "folded, refitted": _scores(plain, strategies, refit=True, in_turn=False),
        "folded, in turn": _scores(plain, strategies, refit=True, in_turn=True),
    }
    table = pd.DataFrame(found, index=[strategy.id for strategy in strategies])
    after = _tuned(subject, budget)
    rows = {
        way: {
            "lowest": scores.min(),
            "mean": scores.mean(),
            "highest": scores.max(),
            "Spearman": scores.corr(table["BN, refitted"], method="spearman"),
            "after fine-tuning": scores[scores.index.isin(after.index)].corr(after, method="spearman"),
        }
        for way, scores in table.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _scores(subject: Subject, strategies: list[Strategy], *, refit: bool, in_turn: bool) -> list[float]:
    shape = subject.preprocess
    calibration = Batches(subject.calibration, shape, batch_size=128, device="cpu", labelled=False)
    look = Batches(subject.sub_validation, shape, batch_size=128, device="cpu", labelled=True).first(LOOK)
    found = subject.reconstruction
    method = Method(precision="float32", criterion=found.order, refit=found if refit else None)
    engine = Engine(subject.network, subject.space, calibration, look, method=method)
    if not in_turn:
        return [engine.score(one.widths).score.accuracy for one in strategies]
    images = calibration.part(0, MEASURED)
    return [evaluate(engine.network(one.widths, in_turn=images), look).accuracy for one in strategies]


def _tuned(subject: Subject, budget: float) -> pd.Series[float]:
    """Test accuracies after the short fine-tuning of `python -m benchmarks.scores`, by candidate."""
    table = pd.read_csv(fits(SCORES))
    table = table[(table["subject"] == subject.name) & (table["budget"] == budget)]
    return table.groupby("candidate")["test_accuracy"].mean()
