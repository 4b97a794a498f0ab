"""What each way of choosing a network leads to: `python -m benchmarks.outcomes`.

At each budget the evenly pruned network, the best of five random ones, the choice of the published protocol, that of
this project's defaults, with as many candidates as in its recipes and with 1,000, and that of an evolutionary search
are fine-tuned alike, and tested. Filters are removed by L1 norm in all. A fit is a row of the results as soon as it is
known: the command may be stopped and started again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

import eagleeye
from benchmarks.finetuning import RECIPE, Bench, add, augmentation, largest_rate, read
from benchmarks.searching import Judge, Settings, search
from benchmarks.subjects import Subject, names
from benchmarks.ways import Published, Raced
from eagleeye.strategies import Shell, Strategy, even
from eagleeye.train import Recipe

RESULTS = Path(__file__).parent / "results" / "outcomes.csv"
CANDIDATES = 100
"""Of a search by this project's recipes for CIFAR-10."""
PUBLISHED = 40
"""Candidates of the published protocol, which scores them some fifty times as slowly."""
BENCHED = 0.5
"""The budget of `make bench`, a fraction of the MACs."""
GENERATIONS = 10
DEFAULT = "this project's default"
BEST_OF = (DEFAULT, "its second", "its third")
"""What `rank.top_k: 3` fine-tunes; the best on the sub-validation images is kept."""


def _even(subject: Subject, budget: float) -> tuple[Strategy, int]:
    return even(subject.space, eagleeye.Budget(macs=budget)), 1


def _best_of_five(subject: Subject, budget: float) -> tuple[Strategy, int]:
    return _raced(subject, budget, 5)


def _default(subject: Subject, budget: float) -> tuple[Strategy, int]:
    return _raced(subject, budget, CANDIDATES)


def _thousand(subject: Subject, budget: float) -> tuple[Strategy, int]:
    return _raced(subject, budget, 1000)


def _second(subject: Subject, budget: float) -> tuple[Strategy, int]:
    return _raced(subject, budget, CANDIDATES, place=2)


def _third(subject: Subject, budget: float) -> tuple[Strategy, int]:
    return _raced(subject, budget, CANDIDATES, place=3)


def _raced(subject: Subject, budget: float, count: int, place: int = 1) -> tuple[Strategy, int]:
    strategies = subject.candidates(count, budget, largest_rate(budget))
    return _named(strategies, eagleeye.search(Raced(subject).engine, strategies)["id"].iloc[place - 1]), count


def _published(subject: Subject, budget: float) -> tuple[Strategy, int]:
    strategies = subject.candidates(PUBLISHED, budget, largest_rate(budget))
    scored = _on_record(subject) if budget == BENCHED else None
    if scored is None:
        scored = pd.DataFrame(Published(subject).score(strategies))
    return _named(strategies, scored.loc[scored["accuracy"].idxmax(), "id"]), len(scored)


def _on_record(subject: Subject) -> pd.DataFrame | None:
    """What `make bench` has scored by the published protocol: it takes a quarter of an hour."""
    path = RESULTS.with_name(f"{subject.name}.csv")
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    found = table[table["way"] == "published"]
    return found if len(found) == PUBLISHED else None


def _evolution(subject: Subject, budget: float) -> tuple[Strategy, int]:
    engine = Raced(subject).engine
    settings = Settings(subject.name, "accuracy", "evolution", True, 0, CANDIDATES // GENERATIONS)
    shell = Shell(subject.space, eagleeye.Budget(macs=budget), largest_rate(budget))
    *_, found = search(settings, engine, Judge(engine, settings.score), shell, generations=GENERATIONS)
    return found.winner, found.candidates


def _named(strategies: list[Strategy], name: str) -> Strategy:
    return next(strategy for strategy in strategies if strategy.id == name)


CHOICES: dict[str, Callable[[Subject, float], tuple[Strategy, int]]] = {
    "evenly pruned": _even,
    "best of 5 random": _best_of_five,
    "published protocol": _published,
    DEFAULT: _default,
    "its second": _second,
    "its third": _third,
    "1,000 candidates": _thousand,
    "evolution": _evolution,
}
"""Each returns a strategy, and how many candidates it was chosen from."""


def main() -> None:
    """Choose and fit what is missing, then compare."""
    options = _options()
    bench = Bench(options)
    for budget in options.macs:
        for choice in options.choices:
            _fit(bench, budget, choice, options)
    print(f"\n{options.results}: test accuracy in points, mean ± standard deviation over the seeds")
    print(summary(pd.read_csv(options.results)).to_string(index=False, float_format=lambda value: f"{value:.2f}"))


def _fit(bench: Bench, budget: float, choice: str, options: argparse.Namespace) -> None:
    recipe = {"epochs": options.epochs, "batch_size": options.batch_size, "lr": options.lr}
    setting = {"subject": options.subject, "budget": budget, "way": choice, "images": len(bench.data), **recipe}
    done = {row["seed"] for row in read(options.results) if {key: row[key] for key in setting} == _as_text(setting)}
    missing = [seed for seed in range(options.seeds) if str(seed) not in done]
    if not missing:
        return
    began = time.perf_counter()
    strategy, tried = CHOICES[choice](bench.subject, budget)
    seconds = time.perf_counter() - began
    print(f"{budget:.0%} of the MACs, {choice}: {strategy.id} of {tried}, found in {seconds:.0f} s", flush=True)
    start = bench.start(budget, strategy, f"{strategy.id} of {tried}")
    for seed in missing:
        plain = Recipe(**recipe, augment=augmentation(options.subject), seed=seed)
        facts = start.facts | {"way": choice, **{name: getattr(plain, name) for name in (*RECIPE, "seed")}}
        row = facts | bench.fit(start, plain)
        add(options.results, row)
        print(f"{budget:.0%} of the MACs, {choice}, seed {seed}: test {row['test_accuracy']:.2%}", flush=True)


def _as_text(setting: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in setting.items()}


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation of every choice.

    Args:
        table: The results.

    Returns:
        Per budget and choice: the candidate, its score, seeds, mean and standard deviation of the test accuracy, in
        points.
    """
    columns = ["subject", "budget", "images", "epochs", "way", "candidate", "macs_fraction"]
    table = pd.concat([table, _best_of_three(table)])
    table = table.assign(score=100 * table["score"], test_accuracy=100 * table["test_accuracy"])
    found = table.groupby(columns, sort=False, dropna=False).agg(
        score=("score", "first"),
        seeds=("seed", "count"),
        test=("test_accuracy", "mean"),
        sd=("test_accuracy", "std"),
    )
    return found.reset_index()


def _best_of_three(table: pd.DataFrame) -> pd.DataFrame:
    """Per budget and seed the fit that `rank.top_k: 3` keeps, where all three are there."""
    several = table[table["way"].isin(BEST_OF)].groupby(["subject", "budget", "images", "epochs", "seed"])
    kept = [fits.loc[fits["validation_accuracy"].idxmax()] for _, fits in several if len(fits) == len(BEST_OF)]
    return pd.DataFrame(kept).assign(way="the best of its three", candidate="", macs_fraction=float("nan"), score=None)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outcomes", description=__doc__)
    parser.add_argument("--subject", default=names()[0], help="what to prune and fine-tune")
    parser.add_argument("--macs", type=float, nargs="+", default=[0.5, 0.25], help="budgets, fractions of the MACs")
    parser.add_argument("--choices", nargs="+", choices=list(CHOICES), default=list(CHOICES))
    parser.add_argument("--seeds", type=int, default=3, help="fits of each network")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--images", type=int, help="training images; all by default")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.01, help="learning rate at its peak")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the rows are kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
