"""Which score tells most about refitted candidates, from how many images: `python -m benchmarks.scores`.

Starters and drawn candidates are refitted and recalibrated on some of the calibration images. A row of the results is
what a block of sub-validation images says about one of them; blocks together are what more images say, and as many
sets of so many images as there are tell how much chance is in it. Then the candidates are fine-tuned shortly. Rows are
kept as soon as they are known: the command may be stopped and started again, and asked for more candidates.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from itertools import product, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn

import eagleeye
from benchmarks.finetuning import RECIPE, Bench, add, augmentation, read
from benchmarks.subjects import Subject, names
from benchmarks.ways import BATCH, SEEN, Published
from eagleeye.data import Batches
from eagleeye.engine import choose_precision
from eagleeye.files import written_whole
from eagleeye.scoring.batchnorm import adapt_batch_norm
from eagleeye.strategies import Shell, Strategy
from eagleeye.study.correlation import FEWEST, regret
from eagleeye.task.classification import SCORERS
from eagleeye.train import Recipe

RESULTS = Path(__file__).parent / "results" / "scores.csv"
FITS = "{}_fits.csv"
"""Where the fits are kept, beside the scores."""
BLOCK = 128
"""Sub-validation images of a row; what is left at the end is left out."""
COUNTS = (128, 256, 512, 1024, 2048, 4992)
"""Images of a set, whole blocks; sets of the same size share none."""
DRAWN = 28
"""Candidates that are drawn; the first of them are scored, so that another number scores the same ones."""
BY = {**{name: scorer.sign for name, scorer in SCORERS.items()}, "output error": -1}
"""What ranks. Output error: the outputs' squared distance from the unpruned network's, relative to those."""
COLUMNS = ("subject", "budget", "candidate", "calibration", "block", *BY)


def main() -> None:
    """Score and fit what is missing, then compare."""
    options = _options()
    bench = Bench(options)
    with _arithmetic():
        full = _outputs(bench.subject, bench.subject.network)
    for budget in options.macs:
        for strategy in candidates(bench.subject, budget, options.drawn):
            _score(bench.subject, full, budget, strategy, options)
            if not options.no_fits:
                _fit(bench, budget, strategy, options)
    for budget in options.macs:
        table = summary(options.results, budget)
        print(f"\n{budget:.1%} of the MACs\n{table.to_string(index=False, float_format=lambda value: f'{value:.2f}')}")


def candidates(subject: Subject, budget: float, drawn: int) -> list[Strategy]:
    """Starters and drawn candidates, one of each in turn.

    Args:
        subject: What to prune.
        budget: Fraction of the MACs.
        drawn: How many of the `DRAWN`.
    """
    free, bound = (Shell(subject.space, eagleeye.Budget(macs=budget), rate) for rate in (1.0, _rate(budget)))
    started = eagleeye.starters(free, subject.reconstruction.errors)
    others = eagleeye.sampler("uniform")(bound, count=DRAWN, seed=0)[:drawn]
    return [each for pair in zip_longest(others, started) for each in pair if each is not None]


def _rate(budget: float) -> float:
    return 0.7 if budget >= 0.5 else 0.9


def _score(subject: Subject, full: Tensor, budget: float, strategy: Strategy, options: argparse.Namespace) -> None:
    place = {"subject": subject.name, "budget": budget, "candidate": strategy.id}
    known = read(options.results)
    seen = {int(row["calibration"]) for row in known if all(row[key] == str(value) for key, value in place.items())}
    rows = [] if seen - {SEEN} else [place | row for row in looks(subject, full, strategy, options.calibration)]
    if options.published and SEEN not in seen:
        rows += [place | row for row in published(subject, full, strategy)]
    if not rows:
        return
    with written_whole(options.results) as beside, beside.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows([*known, *rows])


def looks(subject: Subject, full: Tensor, strategy: Strategy, calibration: list[int]) -> Iterator[dict[str, Any]]:
    """All scores of a candidate, block by block.

    Args:
        subject: What it is pruned from.
        full: The unpruned network's logits for all sub-validation images.
        strategy: How.
        calibration: Numbers of calibration images, whole batches, growing.

    Yields:
        Per number of calibration images and block of sub-validation images, their means.
    """
    network, seen = _refitted(subject, strategy), 0
    images = Batches(subject.calibration, subject.preprocess, batch_size=BATCH, device="cpu", labelled=False)
    for count in calibration:
        with _arithmetic():
            adapt_batch_norm(network, images.between(seen, min(count, len(subject.rows[0]))), seen=seen)
            logits = _outputs(subject, network)
        seen = count
        yield from _blocks(subject, full, logits, count)


def published(subject: Subject, full: Tensor, strategy: Strategy) -> Iterator[dict[str, Any]]:
    """All scores of the same network by the published protocol: augmented images, moving averages, float32.

    Args:
        subject: What it is pruned from.
        full: The unpruned network's logits for all sub-validation images.
        strategy: How.

    Yields:
        Per block of sub-validation images, their means.
    """
    network = _refitted(subject, strategy)
    Published(subject).adapt(network)
    yield from _blocks(subject, full, _outputs(subject, network), SEEN)


def _refitted(subject: Subject, strategy: Strategy) -> nn.Module:
    found = subject.reconstruction
    return eagleeye.prune(subject.network, subject.space, strategy, criterion=found.order, refit=found)


def _blocks(subject: Subject, full: Tensor, logits: Tensor, count: int) -> Iterator[dict[str, Any]]:
    labels = subject.sub_validation.labels
    columns = (
        *(scorer.measure(logits, full if scorer.compares else labels) for scorer in SCORERS.values()),
        (logits - full).square().sum(dim=1) / full.square().sum(dim=1),
    )
    for block in range(len(labels) // BLOCK):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        means = [f"{float(column[part].double().mean()):.6g}" for column in columns]
        yield {"calibration": count, "block": block} | dict(zip(BY, means, strict=True))


def _outputs(subject: Subject, network: nn.Module) -> Tensor:
    batches = Batches(subject.sub_validation, subject.preprocess, batch_size=BATCH, device="cpu", labelled=True)
    with torch.inference_mode():
        return torch.cat([network.eval()(inputs).float() for inputs, _ in batches])


def _arithmetic() -> torch.autocast:
    """The engine's, where candidates are scored."""
    low = choose_precision("auto", torch.device("cpu"), torch.float32)
    return torch.autocast("cpu", torch.bfloat16, enabled=low == torch.bfloat16)


def _fit(bench: Bench, budget: float, strategy: Strategy, options: argparse.Namespace) -> None:
    recipe = Recipe(options.epochs, options.batch_size, options.lr, augment=augmentation(options.subject))
    path = fits(options.results)
    facts = {"budget": budget, "candidate": strategy.id, "images": len(bench.data), "epochs": options.epochs}
    if any(all(row[key] == str(value) for key, value in facts.items()) for row in read(path)):
        return
    start = bench.start(budget, strategy, strategy.id, refitted=True)
    row = start.facts | {"way": "refitted", **{name: getattr(recipe, name) for name in (*RECIPE, "seed")}}
    row |= bench.fit(start, recipe)
    add(path, row)
    print(f"{budget:.1%} of the MACs, {strategy.id}: {row['score']:.2%}, test {row['test_accuracy']:.2%}", flush=True)


def fits(results: Path) -> Path:
    """Where the fits of these scores are."""
    return results.with_name(FITS.format(results.stem))


def summary(results: Path, budget: float) -> pd.DataFrame:
    """How well every score ranks the candidates of a budget.

    Args:
        results: The scores.
        budget: Fraction of the MACs.

    Returns:
        Per calibration images, sub-validation images and score, each a mean over the sets of so many images: Spearman's
        correlation with top-1 on all other images after all calibration images, and its standard deviation; that with
        the accuracy after fine-tuning, and the points of that lost by the choice, not a number
        where hardly any are fitted.
    """
    table, tested = pd.read_csv(results), read(fits(results))
    fitted = pd.Series(
        {row["candidate"]: float(row["test_accuracy"]) for row in tested if float(row["budget"]) == budget}
    )
    table = table[table["budget"] == budget]
    ours = table[table["calibration"] != SEEN]
    last = ours[ours["calibration"] == ours["calibration"].max()]
    top1 = last.pivot(index="candidate", columns="block", values="accuracy")
    rows = []
    for (calibration, group), count in product(table.groupby("calibration"), COUNTS):
        size, blocks = count // BLOCK, len(top1.columns)
        sets = [range(first, first + size) for first in range(0, blocks - size + 1, size)]
        for by, sign in BY.items():
            merits = sign * group.pivot(index="candidate", columns="block", values=by)
            found = [_told(merits[list(part)].mean(axis=1), top1.drop(columns=list(part)), fitted) for part in sets]
            if not found:
                continue
            told, after, lost = np.transpose(found)
            rows.append(
                {
                    "calibration": calibration,
                    "images": count,
                    "score": by,
                    "sets": len(sets),
                    "other top-1": told.mean(),
                    "sd": told.std(ddof=1) if len(sets) > 1 else np.nan,
                    "fine-tuned": after.mean(),
                    "regret": lost.mean(),
                }
            )
    return pd.DataFrame(rows).assign(candidates=len(top1), fitted=len(fitted))


def _told(merit: pd.Series[float], others: pd.DataFrame, fitted: pd.Series[Any]) -> tuple[float, float, float]:
    told = stats.spearmanr(merit, others.mean(axis=1)[merit.index]).statistic if others.size else np.nan
    if len(fitted) < FEWEST:
        return float(told), np.nan, np.nan
    known, after = (np.asarray(each, dtype=np.float64) for each in (merit.reindex(fitted.index), fitted))
    return float(told), float(stats.spearmanr(known, after).statistic), 100 * float(regret(known, after))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scores", description=__doc__)
    parser.add_argument("--subject", default=names()[0], help="what to prune and fine-tune")
    parser.add_argument("--macs", type=float, nargs="+", default=[0.25, 0.5], help="budgets, fractions of the MACs")
    parser.add_argument("--drawn", type=int, default=8, help=f"drawn candidates beside the starters, up to {DRAWN}")
    parser.add_argument("--calibration", type=int, nargs="+", default=[256, 1667], help="images, growing")
    parser.add_argument("--published", action="store_true", help="also score them by the published protocol")
    parser.add_argument("--no-fits", action="store_true", help="only score")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--images", type=int, default=15000, help="training images")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.01, help="learning rate at its peak")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the scores are kept; the fits lie beside")
    return parser.parse_args()


if __name__ == "__main__":
    main()
