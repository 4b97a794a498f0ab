"""Do scores tell the metric after fine-tuning, where the network is no classifier?

    python -m benchmarks.task_scores [--budget 0.25] [--candidates 12] [--seeds 2] [--epochs 2]

Uniform draws at one budget for the segmentation of scenes of digits: every score of the task and of fidelity, which
needs no labels, against the mean IoU on test scenes after a brief fine-tuning. A row of `results/task_scores.csv` for
every fit, which is not made again; the coefficients are printed at the end.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

import eagleeye
from benchmarks.finetuning import read
from benchmarks.other_tasks import CALIBRATION, CPU, SUB_VALIDATION, TEST, TRAINING, trained
from benchmarks.scenes import make_scenes
from eagleeye.compression.training import CollectedData
from eagleeye.given import collect
from eagleeye.scoring.evaluate import outputs_of, predict
from eagleeye.scoring.measure import measure
from eagleeye.study.correlation import Bootstrap, correlate, noise_ceiling
from eagleeye.task.named import TASKS
from eagleeye.train import Recipe, train

RESULTS = Path(__file__).parent / "results" / "task_scores.csv"
TASK, WITHOUT_LABELS = TASKS["segmentation"], TASKS["fidelity"]
METRIC = "mIoU"


class Bench:
    """The network, its engine and its scenes.

    Args:
        budget: Fraction of the MACs.
        candidates: Number of draws.
    """

    def __init__(self, budget: float, candidates: int) -> None:
        self.model, found = trained(TASK.name), make_scenes(TRAINING, seed=1)
        order = torch.from_numpy(np.random.default_rng(0).permutation(TRAINING))
        scoring, others = order[:SUB_VALIDATION], order[SUB_VALIDATION:]
        self.scoring = list(zip(found.images[scoring].split(100), found.masks[scoring].split(100), strict=True))
        self.images = found.images[others], found.masks[others]
        self.space = eagleeye.trace(self.model, found.images[:1])
        pair = (found.images[scoring], found.masks[scoring])
        self.engine = eagleeye.Engine(self.model, self.space, self.images[0][:CALIBRATION], pair, task=TASK)
        shell = eagleeye.Shell(self.space, eagleeye.Budget(macs=budget, tolerance=0.02), max_rate=0.95)
        self.drawn = eagleeye.sampler("uniform")(shell, count=candidates, seed=0)
        test = make_scenes(TEST, seed=2, test=True)
        self.test = list(zip(test.images.split(100), test.masks.split(100), strict=True))

    def network(self, strategy: eagleeye.Strategy) -> nn.Module:
        """A candidate as it is fine-tuned: refitted in turn and recalibrated."""
        return self.engine.network(strategy, in_turn=self.images[0][:CALIBRATION])

    def scores(self, strategy: eagleeye.Strategy) -> dict[str, float]:
        """All scores of a candidate before fine-tuning, as a search scores it."""
        network, full = self.engine.network(strategy), outputs_of(self.model)
        found = [predict(network, self.scoring, full=full, task=task).scores for task in (TASK, WITHOUT_LABELS)]
        return found[0] | found[1]

    def tuned(self, strategy: eagleeye.Strategy, epochs: int, seed: int) -> float:
        """The metric on test scenes after fine-tuning."""
        network, collection = self.network(strategy), collect(self.images, task=TASK)
        data = CollectedData(collection, np.arange(len(collection)), CPU)
        recipe = Recipe(epochs, batch_size=32, augment="none", distillation=0.5, mixed_precision=False, seed=seed)
        train(network, data, self.scoring, recipe, device=CPU, teacher=self.model, task=TASK)
        return measure(network, self.test, TASK)[METRIC]


def coefficients(table: pd.DataFrame) -> pd.DataFrame:
    """How well each score tells the metric, in its better direction, and how well one fine-tuning tells another.

    Args:
        table: The results.

    Returns:
        A row for every score: coefficients with 95 % intervals.
    """
    after = table.pivot(index="candidate", columns="seed", values=METRIC)
    before = table.drop_duplicates("candidate").set_index("candidate").loc[after.index]
    rows = []
    for task in (TASK, WITHOUT_LABELS):
        for name, scorer in task.scorers.items():
            found = correlate(
                scorer.sign * before[name].to_numpy(float), after.mean(axis=1).to_numpy(float), Bootstrap()
            )
            rows.append({"score": f"{task.name} {name}", **_text(found)})
    if after.shape[1] > 1:
        rows.append({"score": "another fine-tuning", **_text(noise_ceiling(after.to_numpy(float), Bootstrap()))})
    return pd.DataFrame(rows)


def _text(found: dict[str, Any]) -> dict[str, str]:
    return {name: f"{each.value:.2f} [{each.low:.2f}, {each.high:.2f}]" for name, each in found.items()}


def main() -> None:
    """Fit what is missing, then compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=0.25)
    parser.add_argument("--candidates", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(options.budget, options.candidates)
    setting: dict[str, Any] = {"budget": options.budget, "epochs": options.epochs}
    for seed in range(options.seeds):
        for strategy in bench.drawn:
            facts = {"candidate": strategy.id, "seed": str(seed), **{name: str(setting[name]) for name in setting}}
            if any(facts.items() <= row.items() for row in read(RESULTS)):
                continue
            row = {**facts, "macs": strategy.macs / bench.space.full_cost.macs, **bench.scores(strategy)}
            row[METRIC] = bench.tuned(strategy, options.epochs, seed)
            pd.DataFrame([row]).to_csv(RESULTS, mode="a", header=not RESULTS.exists(), index=False)
            print(*row.values(), flush=True)
    table = pd.read_csv(RESULTS)
    table = table[(table["budget"] == options.budget) & (table["epochs"] == options.epochs)]
    print(coefficients(table[table["seed"] < options.seeds]).to_string(index=False))


if __name__ == "__main__":
    main()
