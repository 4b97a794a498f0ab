"""Ideas beside those of docs/refitting.md, each with its figures: `python -m benchmarks.ideas`.

`refits`: layers refitted in other ways (benchmarks/regression.py), scored and, at 25 % of the MACs, fine-tuned as by
`python -m benchmarks.outcomes --epochs 2 --images 15000`. `criteria`: other orders of the channels under the library's
refitting. `ridge`: the ridge chosen by the error on other images. `folded`: a network without batch normalisation. A
fit is a row of the results as soon as it is known: the command may be stopped and started again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, fx

import eagleeye
from benchmarks.finetuning import RECIPE, Bench, add, augmentation, largest_rate, read
from benchmarks.regression import WAYS, refit
from benchmarks.subjects import Subject, names
from eagleeye.data import Batches
from eagleeye.importance import Criterion
from eagleeye.prune import choose
from eagleeye.strategies import Shell, Strategy, even_filled
from eagleeye.train import Recipe

RESULTS = Path(__file__).parent / "results" / "ideas.csv"
REFITS = ("channels", *WAYS)
"""Ways of refitting; the first and the last are the library's."""
FITTED = 0.25
"""The budget at which networks are fine-tuned."""
Make = Callable[[Strategy], fx.GraphModule]


def main() -> None:
    """Print the tables that are asked for."""
    options = _options()
    bench = Bench(options)
    for table in options.tables:
        print(f"\n{options.subject}, {table}", flush=True)
        TABLES[table](bench, options)


def refits(bench: Bench, options: argparse.Namespace) -> None:
    """The library's refitting and others, for the even network and the choices of searches."""
    for budget in options.macs:
        for strategy in strategies(bench.subject, budget):
            for way in options.ways:
                told(bench, budget, strategy, way, lambda one, way=way: refitted(bench.subject, one, way), options)


def strategies(subject: Subject, budget: float) -> list[Strategy]:
    """The even network, the best allocated one, and at 25 % the choice of a search of a hundred.

    Args:
        subject: What to prune.
        budget: Fraction of the MACs.
    """
    shell = Shell(subject.space, eagleeye.Budget(macs=budget), 1.0)
    found = [one for one in eagleeye.starters(shell, subject.reconstruction.errors) if one.id == "allocated-1.25"]
    if budget == FITTED and subject.name == "cifar10_resnet20":
        drawn = subject.candidates(100, budget, largest_rate(budget))
        found.append(next(one for one in drawn if one.id == "s0026"))
    return [even_filled(shell), *found]


def refitted(subject: Subject, strategy: Strategy, way: str, criterion: Criterion | None = None) -> fx.GraphModule:
    """A candidate, refitted in one of the ways.

    Args:
        subject: What to prune.
        strategy: The candidate.
        way: Of `REFITS`.
        criterion: In which order channels go; None: at least cost for the layers that read them.
    """
    found, space = subject.reconstruction, subject.space
    order = criterion or found.order
    if way == REFITS[0]:
        return eagleeye.prune(subject.network, space, strategy, criterion=order, refit=found)
    thin = eagleeye.prune(subject.network, space, strategy, criterion=order)
    kept = space.kept(choose(subject.network, space, strategy.widths, order))
    refit(found, thin, kept, calibration(subject), way)
    return thin


def calibration(subject: Subject, start: int = 0, stop: int = 512) -> Tensor:
    """Some of the calibration images, normalised."""
    batches = Batches(subject.calibration, subject.preprocess, batch_size=128, device="cpu", labelled=False)
    return torch.cat(list(batches))[start:stop]


def told(bench: Bench, budget: float, strategy: Strategy, way: str, make: Make, options: argparse.Namespace) -> None:
    """Print a candidate's score and, where fits are asked for, what fine-tuning makes of it."""
    began = time.process_time()
    network = make(strategy)
    seconds = time.process_time() - began
    start = bench.begin(budget, network, strategy.id)
    line = f"| {budget:.1%} | {strategy.id} | {way} | {start.facts['score']:.1%} | {seconds:.1f} s |"
    tests = []
    for seed in range(options.seeds if budget == FITTED and strategy.id in options.fitted else 0):
        recipe = Recipe(2, batch_size=128, lr=0.01, augment=augmentation(bench.subject.name), seed=seed)
        row = start.facts | {"way": way, **{name: getattr(recipe, name) for name in (*RECIPE, "seed")}}
        key = ("subject", "budget", "candidate", "way", "seed", "images")
        done = [one for one in read(RESULTS) if all(one[name] == str(row[name]) for name in key)]
        if not done:
            row |= bench.fit(start, recipe)
            add(RESULTS, row)
            done = [row]
        tests.append(f"{float(done[0]['test_accuracy']):.2%}")
    print(line, " ".join(tests), "|", flush=True)


TABLES = {"refits": refits}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ideas", description=__doc__)
    parser.add_argument("--subject", default=names()[0], help="what to prune")
    parser.add_argument("--macs", type=float, nargs="+", default=[0.25, 0.125], help="budgets, fractions of the MACs")
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--ways", nargs="+", choices=REFITS, default=REFITS, help="of refitting")
    parser.add_argument("--seeds", type=int, default=2, help="fits of each network at 25 %% of the MACs")
    parser.add_argument("--fitted", nargs="*", default=["even-filled", "s0026"], help="which networks are fine-tuned")
    parser.add_argument("--images", type=int, default=15000, help="training images of a fit")
    options = parser.parse_args()
    return argparse.Namespace(**vars(options), device="cpu", batch_size=128)


if __name__ == "__main__":
    main()
