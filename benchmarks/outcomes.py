"""What each way of choosing a network leads to: `python -m benchmarks.outcomes`.

At each budget the evenly pruned network, the best of five random ones, the choice of the published protocol, that of
this project's race, the second and third of that race, and the choice of an evolutionary search are fine-tuned alike,
and tested. Filters go by L1 norm, in the ways called refitted by second-order importance, and layers are refitted, of
those called in turn once more before they are fine-tuned (docs/refitting.md). A fit is a row of the results as soon as
it is known: the command may be stopped and started again, and other numbers of candidates are added to what is there.
Networks that another tool has pruned (benchmarks/rivals.py) are recalibrated and fitted in the same way, where they
are asked for.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import torch

import eagleeye
from benchmarks.finetuning import RECIPE, Bench, add, augmentation, largest_rate, read
from benchmarks.rivals import RIVALS
from benchmarks.searching import Settings, search
from benchmarks.subjects import Subject, names
from benchmarks.ways import Published, Raced
from eagleeye.strategies import Shell, Strategy, even, even_filled
from eagleeye.train import Recipe

RESULTS = Path(__file__).parent / "results" / "outcomes.csv"
BENCHED = 0.5
"""The budget of `make bench`, a fraction of the MACs."""
_CHOSEN: dict[tuple[str, float, int, int], Strategy] = {}
"""By this project's refitted search, of which two ways make something."""
GENERATIONS = 10
BRED_UP_TO = 0.95
"""The largest rate where allocated widths have offspring: they may have lost more than uniform draws at that budget."""


def _even(subject: Subject, budget: float, _count: int, _draw: int) -> Strategy:
    return even(subject.space, eagleeye.Budget(macs=budget))


def _raced(subject: Subject, budget: float, count: int, draw: int, place: int = 1) -> Strategy:
    strategies = subject.candidates(count, budget, largest_rate(budget), draw)
    return _named(strategies, eagleeye.search(Raced(subject).engine, strategies)["id"].iloc[place - 1])


def _published(subject: Subject, budget: float, count: int, draw: int) -> Strategy:
    strategies = subject.candidates(count, budget, largest_rate(budget), draw)
    scored = _on_record(subject) if budget == BENCHED and draw == 0 else None
    if scored is None or len(scored) != count:
        scored = pd.DataFrame(Published(subject).score(strategies))
    return _named(strategies, scored.loc[scored["accuracy"].idxmax(), "id"])


def _on_record(subject: Subject) -> pd.DataFrame | None:
    """What `make bench` has scored by the published protocol: it takes a quarter of an hour."""
    path = RESULTS.with_name(f"{subject.name}.csv")
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    return table[table["way"] == "published"]


def _evolution(subject: Subject, budget: float, count: int, draw: int) -> Strategy:
    engine = Raced(subject).engine
    settings = Settings(subject.name, "accuracy", "evolution", True, draw, count // GENERATIONS)
    shell = Shell(subject.space, eagleeye.Budget(macs=budget), largest_rate(budget))
    *_, found = search(settings, engine, eagleeye.Memory(engine), shell, generations=GENERATIONS)
    return found.winner


def _even_refitted(subject: Subject, budget: float, _count: int, _draw: int) -> Strategy:
    return even_filled(Shell(subject.space, eagleeye.Budget(macs=budget), 1.0))


def _allocated(subject: Subject, budget: float, _count: int, _draw: int) -> Strategy:
    """The best by score of a handful that nothing was evaluated for."""
    strategies = _starters(subject, budget)
    engine = Raced(subject, refitted=True).engine
    return _named(strategies, eagleeye.search(engine, strategies, first=None)["id"].iloc[0])


def _raced_refitted(subject: Subject, budget: float, count: int, draw: int) -> Strategy:
    found = _CHOSEN.get((subject.name, budget, count, draw))
    if found is None:
        strategies = _starters(subject, budget) + subject.candidates(count, budget, largest_rate(budget), draw)
        found = _named(strategies, eagleeye.search(Raced(subject, refitted=True).engine, strategies)["id"].iloc[0])
        _CHOSEN[subject.name, budget, count, draw] = found
    return found


def _evolution_refitted(subject: Subject, budget: float, count: int, draw: int) -> Strategy:
    """Bred from the handful and from uniform draws; the last race is among all."""
    shell, size = Shell(subject.space, eagleeye.Budget(macs=budget), BRED_UP_TO), count // GENERATIONS
    strategies = _starters(subject, budget) + eagleeye.sampler("uniform")(shell, count=size, seed=draw)
    later = eagleeye.Generations(shell, [size] * (GENERATIONS - 1), seed=draw)
    engine = Raced(subject, refitted=True).engine
    return Strategy.of(eagleeye.search(engine, strategies, generations=later).iloc[0])


def _starters(subject: Subject, budget: float) -> list[Strategy]:
    shell = Shell(subject.space, eagleeye.Budget(macs=budget), 1.0)
    return eagleeye.starters(shell, subject.reconstruction.errors)


def _named(strategies: list[Strategy], name: str) -> Strategy:
    return next(strategy for strategy in strategies if strategy.id == name)


CHOICES: dict[str, Callable[[Subject, float, int, int], Strategy]] = {
    "evenly pruned": _even,
    "best of 5 random": _raced,
    "published protocol": _published,
    "this project": _raced,
    "its second": partial(_raced, place=2),
    "its third": partial(_raced, place=3),
    "evolution": _evolution,
    "even, refitted": _even_refitted,
    "allocated, refitted": _allocated,
    "this project, refitted": _raced_refitted,
    "evolution, refitted": _evolution_refitted,
    "even, refitted in turn": _even_refitted,
    "this project, refitted in turn": _raced_refitted,
}
"""Given the subject, the budget, a number of candidates and the seed of the draws, each chooses one."""


def tried(choice: str, options: argparse.Namespace) -> int:
    """From how many candidates a choice is made."""
    alone = {"evenly pruned": 1, "even, refitted": 1, "even, refitted in turn": 1, "allocated, refitted": 5}
    own = {**alone, **dict.fromkeys(RIVALS, 1), "best of 5 random": 5, "published protocol": options.published}
    return own.get(choice, options.candidates)


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
    recipe |= {"distillation": options.distillation}
    way = choice if options.draw == 0 else f"{choice}, draw {options.draw}"
    setting = {"subject": options.subject, "budget": budget, "way": way, "images": len(bench.data), **recipe}
    count = tried(choice, options)
    done = {row["seed"] for row in read(options.results) if _is_of(row, setting, count)}
    missing = [seed for seed in range(options.seeds) if str(seed) not in done]
    if not missing:
        return
    began = time.perf_counter()
    if choice in RIVALS:
        start = bench.begin(budget, RIVALS[choice](bench.subject, budget), f"pruned of {count}")
    else:
        strategy = CHOICES[choice](bench.subject, budget, count, options.draw)
        start = bench.start(
            budget,
            strategy,
            f"{strategy.id} of {count}",
            refitted="refitted" in choice,
            in_turn=choice.endswith("in turn"),
        )
    seconds, facts = time.perf_counter() - began, start.facts
    told = f"{facts['candidate']}, {facts['score']:.2%} before fine-tuning, {facts['macs_fraction']:.2%} of the MACs"
    print(f"{budget:.0%} of the MACs, {way}: {told}, made in {seconds:.0f} s", flush=True)
    for seed in missing:
        plain = Recipe(**recipe, augment=augmentation(options.subject), seed=seed)
        facts = start.facts | {"way": way, **{name: getattr(plain, name) for name in (*RECIPE, "seed")}}
        row = facts | bench.fit(start, plain)
        add(options.results, row)
        print(f"{budget:.0%} of the MACs, {way}, seed {seed}: test {row['test_accuracy']:.2%}", flush=True)


def _is_of(row: dict[str, str], setting: dict[str, object], count: int) -> bool:
    return row["candidate"].endswith(f" of {count}") and all(row[key] == str(value) for key, value in setting.items())


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation of every choice.

    Args:
        table: The results.

    Returns:
        Per budget and choice: the candidate, its score, seeds, mean and standard deviation of the test accuracy, in
        points.
    """
    columns = ["subject", "budget", "images", "epochs", "distillation", "way", "candidate", "macs_fraction"]
    table = table.assign(score=100 * table["score"], test_accuracy=100 * table["test_accuracy"])
    found = table.groupby(columns, sort=False).agg(
        score=("score", "first"),
        seeds=("seed", "count"),
        test=("test_accuracy", "mean"),
        sd=("test_accuracy", "std"),
    )
    return found.reset_index()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outcomes", description=__doc__)
    parser.add_argument("--subject", default=names()[0], help="what to prune and fine-tune")
    parser.add_argument("--macs", type=float, nargs="+", default=[0.5, 0.25], help="budgets, fractions of the MACs")
    parser.add_argument("--choices", nargs="+", choices=[*CHOICES, *RIVALS], default=list(CHOICES))
    parser.add_argument("--candidates", type=int, default=100, help="of this project's searches, as in its recipes")
    parser.add_argument("--published", type=int, default=40, help="candidates of the published protocol")
    parser.add_argument("--seeds", type=int, default=3, help="fits of each network")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--images", type=int, help="training images; all by default")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.01, help="learning rate at its peak")
    parser.add_argument("--distillation", type=float, default=0.0, help="share of the loss, see docs/finetuning.md")
    parser.add_argument("--draw", type=int, default=0, help="seed of the draws: another search")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the rows are kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
