"""What makes fine-tuning better at the same number of epochs: `python -m benchmarks.finetuning`.

The best candidate of a small search at each budget is recalibrated and fine-tuned plainly, with warm-up, with a moving
average of the weights (EMA), learning from the unpruned network (distillation), with all three, and, where asked for,
from the unpruned network alone (no labels), which then chooses the best epoch, too. With the same seed all of them see
the same images in the same order, so that they are compared seed by seed. A fit is a row of the results as soon as it
is known: the command may be stopped and started again, and more seeds are added to what is there.
"""

from __future__ import annotations

import argparse
import copy
import csv
import itertools
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import nn

import eagleeye
from benchmarks.subjects import Subject, names, open_subject
from benchmarks.ways import Raced
from eagleeye.data import Batches, decode
from eagleeye.files import written_whole
from eagleeye.scoring.batchnorm import adapt_batch_norm
from eagleeye.scoring.evaluate import evaluate
from eagleeye.task import CLASSIFICATION
from eagleeye.train import Augment, Recipe, TrainData, open_training, train

RESULTS = Path(__file__).parent / "results" / "finetuning.csv"
PLAIN = "plain"
NO_LABELS = "no labels"
WAYS = (PLAIN, "warm-up", "EMA", "distillation", "all", NO_LABELS)
RECIPE = ("epochs", "batch_size", "lr", "warmup_epochs", "ema", "distillation", "temperature")
KEY = ("subject", "budget", "candidate", "way", "seed", "images", "device", *RECIPE)
"""What makes a fit another one; a row that agrees in all of it is not fitted again."""
MEASURED = (
    "macs_fraction",
    "params_fraction",
    "score",
    "unpruned_test_accuracy",
    "best_epoch",
    "validation_accuracy",
    "test_accuracy",
    "test_loss",
    "images_per_second",
    "seconds",
)
"""`score`: accuracy on the sub-validation images before fine-tuning, with adaptive BN. Accuracies are fractions."""


def main() -> None:
    """Fit what is missing, then compare."""
    options = _options()
    recipes, bench = ways(options), Bench(options)
    for budget in options.macs:
        winner = bench.winner(budget)
        start = bench.start(budget, winner, f"{winner.id} of {options.candidates}")
        # Seed by seed, so that what is there can be compared at any time.
        for seed, way in itertools.product(range(options.seeds), options.ways):
            recipe = replace(recipes[way], seed=seed)
            row = {**start.facts, "way": way, **{name: getattr(recipe, name) for name in (*RECIPE, "seed")}}
            if _key(row) in {_key(known) for known in read(options.results)}:
                continue
            row |= bench.fit(start, recipe)
            add(options.results, row)
            print(f"{budget:.0%} of the MACs, {way}, seed {seed}: test {row['test_accuracy']:.2%}", flush=True)
    print(f"\n{options.results}: mean ± standard deviation over the seeds, test accuracy in points")
    print(summary(pd.read_csv(options.results)).to_string(index=False, float_format=lambda value: f"{value:.2f}"))


def ways(options: argparse.Namespace) -> dict[str, Recipe]:
    """The recipe of each way that is asked for, by name: the plain one, and what the way changes in it.

    Args:
        options: Of the command line.

    Raises:
        ConfigError: A setting is out of range, for instance as many epochs of warm-up as there are epochs.
    """
    augment = augmentation(options.subject)
    plain = {"epochs": options.epochs, "batch_size": options.batch_size, "lr": options.lr, "augment": augment}
    warm, average = {"warmup_epochs": options.warmup}, {"ema": options.ema}
    taught = {"distillation": options.distillation, "temperature": options.temperature}
    alone = {**taught, "distillation": 1.0}
    changes = dict(zip(WAYS, ({}, warm, average, taught, {**warm, **average, **taught}, alone), strict=True))
    return {way: Recipe(**plain | changes[way]) for way in options.ways}


def augmentation(subject: str) -> Augment:
    """How a subject's images are varied: a mirrored digit is no digit."""
    return "shift" if subject.startswith("digits") else "shift_flip"


@dataclass(frozen=True)
class Start:
    """A candidate as fine-tuning finds it: pruned and recalibrated.

    Attributes:
        network: The network; every fit trains a copy.
        facts: What its rows have in common.
    """

    network: nn.Module
    facts: dict[str, Any]


class Bench:
    """A subject with its images, opened once for all fits.

    Args:
        options: Of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.subject = options, open_subject(options.subject)
        self.device = torch.device(options.device)
        subject, shape, size = self.subject, self.subject.preprocess, options.batch_size
        place: dict[str, Any] = {"batch_size": size, "device": self.device, "labelled": True}
        self.validation = Batches(subject.sub_validation, shape, **place)
        self.test = Batches(decode(subject.test, None, shape), shape, **place)
        self.data = self._training_images(subject)
        self.unpruned = evaluate(subject.network.to(self.device).eval(), self.test).accuracy

    def _training_images(self, subject: Subject) -> TrainData:
        # The same images for every seed: what differs is their order, as in a stage of the pipeline.
        rows = np.setdiff1d(np.arange(len(subject.images)), subject.rows[1])
        if self.options.images:
            rows = np.sort(np.random.default_rng(0).permutation(rows)[: self.options.images])
        recipe = Recipe(1, augment=augmentation(self.subject.name))
        return open_training(subject.images, rows.tolist(), subject.preprocess, recipe, device=self.device)

    def winner(self, budget: float) -> eagleeye.Strategy:
        """The best of a small search.

        Args:
            budget: Fraction of the MACs.
        """
        subject = self.subject
        subject.network.to("cpu")  # the search is the same whatever the fits run on
        strategies = subject.candidates(self.options.candidates, budget, largest_rate(budget))
        best = eagleeye.search(Raced(subject, precision="float32").engine, strategies)["id"].iloc[0]
        return next(entry for entry in strategies if entry.id == best)

    def start(
        self,
        budget: float,
        strategy: eagleeye.Strategy,
        candidate: str,
        *,
        refitted: bool = False,
        in_turn: bool = False,
    ) -> Start:
        """A candidate, recalibrated.

        Args:
            budget: Fraction of the MACs.
            strategy: How to prune.
            candidate: What to call it.
            refitted: Whether channels go by second-order importance and layers are refitted; else by L1 norm.
            in_turn: Whether they are refitted once more, one after another.
        """
        subject = self.subject
        subject.network.to("cpu")
        images = subject.measured if in_turn else None
        found = subject.reconstruction if refitted else None
        order = eagleeye.criterion("l1") if found is None else found.order
        network = eagleeye.prune(subject.network, subject.space, strategy, criterion=order, refit=found, in_turn=images)
        return self.begin(budget, network, candidate)

    def begin(self, budget: float, network: nn.Module, candidate: str) -> Start:
        """A pruned network, recalibrated.

        Args:
            budget: Fraction of the MACs.
            network: On the CPU; its statistics are adapted.
            candidate: What to call it.
        """
        subject = self.subject
        calibration = Batches(subject.calibration, subject.preprocess, batch_size=128, device="cpu", labelled=False)
        adapt_batch_norm(network, calibration)
        image = torch.zeros(1, *subject.calibration.pixels.shape[1:])
        full, thin = eagleeye.cost(subject.network.to("cpu"), image), eagleeye.cost(network, image)
        network.to(self.device)
        facts = {
            "subject": subject.name,
            "budget": budget,
            "candidate": candidate,
            "images": len(self.data),
            "device": self.device.type,
            "macs_fraction": thin.macs / full.macs,
            "params_fraction": thin.params / full.params,
            "score": evaluate(network, self.validation).accuracy,
            "unpruned_test_accuracy": self.unpruned,
        }
        return Start(network, facts)

    def fit(self, start: Start, recipe: Recipe) -> dict[str, Any]:
        """Fine-tune a copy of the start and test it.

        Args:
            start: The recalibrated candidate.
            recipe: How to fine-tune it.

        Returns:
            What the fit found.
        """
        network = copy.deepcopy(start.network)
        teacher = self.subject.network if recipe.distillation > 0 else None
        began = time.perf_counter()
        by = CLASSIFICATION.order(labelled=recipe.distillation < 1)
        result = train(network, self.data, self.validation, recipe, device=self.device, teacher=teacher, by=by)
        seconds = time.perf_counter() - began
        score = evaluate(network, self.test)
        return {
            "best_epoch": result.best_epoch,
            "validation_accuracy": evaluate(network, self.validation).accuracy,
            "test_accuracy": score.accuracy,
            "test_loss": score.loss,
            "images_per_second": float(result.history["images_per_second"].median()),
            "seconds": seconds,
        }


def largest_rate(budget: float) -> float:
    """The largest rate of a layer in a search for a budget, a fraction of the MACs."""
    return 0.7 if budget >= 0.5 else 0.8


def read(path: Path) -> list[dict[str, str]]:
    """The rows on record, as text.

    Args:
        path: The results.
    """
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def add(path: Path, row: dict[str, Any]) -> None:
    """Put a row on record; a stop at any moment leaves the file whole.

    Args:
        path: The results.
        row: `KEY` and `MEASURED`.
    """
    rows = [*read(path), row]
    with written_whole(path) as beside, beside.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*KEY, *MEASURED])
        writer.writeheader()
        writer.writerows(rows)


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple("" if row[name] is None else str(row[name]) for name in KEY)


def summary(table: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Compare the ways with the plain one, seed by seed.

    Args:
        table: The results.
        level: Of the intervals.

    Returns:
        Per setting and way: seeds, mean and standard deviation of the test accuracy in points, then of its differences
        from the plain fit with the same seed, half the width of the t interval of their mean, and the time relative to
        that of the plain fit.
    """
    setting = ["subject", "budget", "candidate", "images", "device", "epochs", "batch_size", "lr"]
    rows = []
    for place, group in table.groupby(setting, sort=False):
        plain = group[group["way"] == PLAIN].set_index("seed")
        variants = ["way", "warmup_epochs", "ema", "distillation", "temperature"]
        for _, fits in group.groupby(variants, sort=False, dropna=False):
            rows.append({**dict(zip(setting, place, strict=True)), **_compared(fits.set_index("seed"), plain, level)})
    return pd.DataFrame(rows).drop(columns=["candidate", "device", "batch_size"])


def _compared(fits: pd.DataFrame, plain: pd.DataFrame, level: float) -> dict[str, Any]:
    accuracy, first = 100 * fits["test_accuracy"], fits.iloc[0]
    differences = (accuracy - 100 * plain["test_accuracy"]).dropna()
    count, spread = len(differences), differences.std(ddof=1)
    return {
        "way": _label(first),
        "seeds": len(fits),
        "test": accuracy.mean(),
        "sd": accuracy.std(ddof=1),
        "over plain": differences.mean(),
        "its sd": spread,
        "±": stats.t.ppf((1 + level) / 2, count - 1) * spread / count**0.5 if count > 1 else float("nan"),
        "time": (fits["seconds"] / plain["seconds"]).median(),
    }


def _label(fit: pd.Series[Any]) -> str:
    settings = [f"{fit['warmup_epochs']} epochs"] if fit["warmup_epochs"] else []
    settings += [] if pd.isna(fit["ema"]) else [f"decay {fit['ema']:g}"]
    settings += [f"share {fit['distillation']:g}, T {fit['temperature']:g}"] if fit["distillation"] else []
    return f"{fit['way']} ({', '.join(settings)})" if settings else str(fit["way"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finetuning", description=__doc__)
    parser.add_argument("--subject", default=names()[0], help="what to prune and fine-tune")
    parser.add_argument("--macs", type=float, nargs="+", default=[0.5, 0.25], help="budgets, fractions of the MACs")
    parser.add_argument("--candidates", type=int, default=40, help="of the search whose best one is fine-tuned")
    parser.add_argument("--seeds", type=int, default=5, help="fits of each way")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--images", type=int, help="training images; all by default")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.01, help="learning rate at its peak")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS[:-1])
    parser.add_argument("--warmup", type=int, default=1, help="epochs of warm-up, below the epochs")
    parser.add_argument("--ema", type=float, default=0.99, help="decay per step")
    parser.add_argument("--distillation", type=float, default=0.5, help="share of the loss, of labels and teacher")
    parser.add_argument("--temperature", type=float, default=4.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the rows are kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
