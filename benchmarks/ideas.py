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
from functools import partial
from pathlib import Path

from torch import Tensor, fx, nn

import eagleeye
from benchmarks.finetuning import RECIPE, Bench, add, augmentation, largest_rate, read
from benchmarks.folded import compare
from benchmarks.regression import WAYS, refit
from benchmarks.ridges import by_error, with_ridge
from benchmarks.sensitivity import fisher, hessian
from benchmarks.subjects import MEASURED, Subject, names
from eagleeye.data import Batches
from eagleeye.importance import Criterion
from eagleeye.importance.ranked import Importance
from eagleeye.prune import choose
from eagleeye.reconstruction.reconstruction import RIDGE
from eagleeye.strategies import Shell, Strategy, even_filled
from eagleeye.train import Recipe

RESULTS = Path(__file__).parent / "results" / "ideas.csv"
REFITS = ("channels", *WAYS)
"""Ways of refitting; the first and the last are the library's."""
SEARCHED = 0.25
"""The budget at which the choice of a search of a hundred is among the networks."""
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
    if budget == SEARCHED and subject.name == "cifar10_resnet20":
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


def calibration(subject: Subject, count: int = MEASURED) -> Tensor:
    """Some of the calibration images, normalised."""
    batches = Batches(subject.calibration, subject.preprocess, batch_size=128, device="cpu", labelled=False)
    return batches.part(0, count)


def told(
    bench: Bench,
    budget: float,
    strategy: Strategy,
    way: str,
    make: Make,
    options: argparse.Namespace,
    *,
    fitted: bool = True,
) -> None:
    """Print a candidate's score and, where fits are asked for, what fine-tuning makes of it."""
    began = time.process_time()
    network = make(strategy)
    seconds = time.process_time() - began
    start = bench.begin(budget, network, strategy.id)
    line = f"| {budget:.1%} | {strategy.id} | {way} | {start.facts['score']:.1%} | {seconds:.1f} s |"
    tests = []
    fitted = fitted and strategy.id in options.fitted
    for seed in range(options.seeds if fitted else 0):
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


def criteria(bench: Bench, options: argparse.Namespace) -> None:
    """Other orders of the channels, the even network refitted once and in turn."""
    subject = bench.subject
    orders = {"obs": subject.reconstruction.order, **{name: partial(fixed, scores) for name, scores in _asked(subject)}}
    for budget in options.macs:
        strategy = strategies(subject, budget)[0]
        for name, order in orders.items():
            for way in options.ways:
                make = partial(refitted, subject, way=way, criterion=order)
                told(bench, budget, strategy, way if name == "obs" else f"{name}, {way}", make, options)


def _asked(subject: Subject) -> list[tuple[str, list[Importance]]]:
    """Criteria that ask the labelled loss, on the images that the library measures."""
    images, labels = calibration(subject), subject.calibration.labels[:MEASURED]
    return [
        ("fisher", fisher(subject.reconstruction, images, labels)),
        ("hessian", hessian(subject.network, subject.space, images, labels)),
    ]


def fixed(scores: list[Importance], _model: nn.Module, _space: eagleeye.Space) -> list[Importance]:
    """A criterion that knows its scores."""
    return scores


def ridge(bench: Bench, options: argparse.Namespace) -> None:
    """The ridge chosen by the error on other images: half of them are fitted to, the others tell, then all are used."""
    subject = bench.subject
    for count in (128, 512, 1667):
        images = calibration(subject, count)
        parts = [eagleeye.reconstruct(subject.network, subject.space, [one]) for one in (images, *images.chunk(2))]
        for budget in options.macs:
            for strategy in strategies(subject, budget):
                chosen, best = by_error(parts[1], parts[2], strategy)
                fits = {f"ridge {RIDGE:g}": RIDGE, f"ridge {best:g}, by error": best, "by each layer's": chosen}
                for name, wanted in fits.items():
                    make = partial(with_ridge, subject, parts[0], wanted)
                    told(bench, budget, strategy, f"{count} images, {name}", make, options, fitted=False)


def folded(bench: Bench, options: argparse.Namespace) -> None:
    """The same candidates with batch normalisation and with it folded into the convolutions."""
    for budget in options.macs:
        table = compare(bench.subject, budget)
        print(f"{budget:.1%} of the MACs\n{table.to_string(float_format=lambda value: f'{value:.3f}')}", flush=True)


TABLES = {"refits": refits, "criteria": criteria, "ridge": ridge, "folded": folded}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ideas", description=__doc__)
    parser.add_argument("--subject", default=names()[0], help="what to prune")
    parser.add_argument("--macs", type=float, nargs="+", default=[0.25, 0.125], help="budgets, fractions of the MACs")
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--ways", nargs="+", choices=REFITS, default=REFITS, help="of refitting")
    parser.add_argument("--seeds", type=int, default=2, help="fits of each of those; 0: scores alone")
    parser.add_argument("--fitted", nargs="*", default=["even-filled", "s0026"], help="which networks are fine-tuned")
    parser.add_argument("--images", type=int, default=15000, help="training images of a fit")
    options = parser.parse_args()
    return argparse.Namespace(**vars(options), device="cpu", batch_size=128)


if __name__ == "__main__":
    main()
