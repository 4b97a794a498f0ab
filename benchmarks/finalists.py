"""Is the choice among a search's best candidates improvable? `python -m benchmarks.finalists`.

The best candidates of a search by their score, with the references among them, are refitted in turn, scored once more,
and fine-tuned as by `python -m benchmarks.outcomes --epochs 2 --images 15000`. What each score tells of the accuracy
after fine-tuning, and what would be won by choosing by it, is printed at the end. A network is a row of the results as
soon as it is known: the command may be stopped and started again.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from pathlib import Path
from typing import Any

import pandas as pd
from eagleeye.batchnorm import adapt_batch_norm
from eagleeye.evaluate import evaluate

import eagleeye
from benchmarks.finetuning import Bench, Start, augmentation, largest_rate, read
from benchmarks.outcomes import BRED_UP_TO, GENERATIONS
from benchmarks.subjects import Subject, names
from benchmarks.ways import Raced
from eagleeye.data import Batches
from eagleeye.files import written_whole
from eagleeye.strategies import Shell, Strategy
from eagleeye.train import Recipe

RESULTS = Path(__file__).parent / "results" / "finalists.csv"
SETTING = ("subject", "budget", "sampler", "draw", "images", "epochs", "distillation", "seed")
PLACE = ("place", "candidate", "widths")
FACTS = ("macs_fraction", "params_fraction", "score", "loss", "in_turn", "in_turn_loss")
FITTED = ("validation_accuracy", "test_accuracy", "test_loss", "seconds")
COLUMNS = (*SETTING, *PLACE, *FACTS, *FITTED)
"""`place` in the search; `score` and `in_turn`: accuracies on all sub-validation images, before and after refitting."""
SAME = (*(name for name in SETTING if name not in ("sampler", "draw")), "widths")
"""What makes a fit another one: searches find some networks again."""
BY = {"score": 1, "loss": -1, "in_turn": 1, "in_turn_loss": -1, "params_fraction": 1, "validation_accuracy": 1}
"""What may choose, and whether more is better."""


def main() -> None:
    """Fit what is missing, the best of all searches first, then compare."""
    options = _options()
    bench = Bench(options)
    engine = Raced(bench.subject, refitted=True).engine
    memory, searches = eagleeye.Memory(engine), []
    for budget, draw, sampler in itertools.product(options.macs, options.draws, options.samplers):
        setting = {"subject": bench.subject.name, "budget": budget, "sampler": sampler, "draw": draw}
        setting |= {"images": len(bench.data), "epochs": options.epochs, "distillation": options.distillation}
        searches.append([setting | row for row in finalists(bench.subject, memory, setting, options)])
        print(setting, ", ".join(row["strategy"].id for row in searches[-1]), flush=True)
    for seed, rows in itertools.product(range(options.seeds), itertools.zip_longest(*searches)):
        for row in rows:
            if row is not None:
                told(bench, {**row, "seed": seed}, options)
    print(f"\n{options.results}")
    print(summary(pd.read_csv(options.results)).to_string(float_format=lambda value: f"{value:.2f}"))


def finalists(
    subject: Subject, memory: eagleeye.Memory, setting: dict[str, Any], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """The even network, the best of those that widths are allocated for, and the best of a search.

    Args:
        subject: What to prune.
        memory: Of the engine that scores candidates.
        setting: sampler, budget, draw.
        options: Of the command line.

    Returns:
        Each with its strategy, place and scores.
    """
    budget, draw, size = setting["budget"], setting["draw"], options.candidates // GENERATIONS
    free = Shell(subject.space, eagleeye.Budget(macs=budget), 1.0)
    drawn, later = eagleeye.starters(free, subject.reconstruction.errors), None
    if setting["sampler"] == "uniform":
        drawn = drawn + subject.candidates(options.candidates, budget, largest_rate(budget), draw)
    else:
        shell = Shell(subject.space, eagleeye.Budget(macs=budget), BRED_UP_TO)
        drawn = drawn + eagleeye.sampler("uniform")(shell, count=size, seed=draw)
        later = eagleeye.Generations(shell, [size] * (GENERATIONS - 1), seed=draw)
    table = eagleeye.search(memory.engine, drawn, generations=later, memory=memory)
    kinds = table["id"].str.partition("-")[0].map({"even": 0, "allocated": 1}).fillna(2)
    references = table[kinds < 2].groupby(kinds, sort=True).head(1).index
    chosen = table.loc[list(references) + [row for row in table.index[: options.best] if row not in references]]
    strategies = [Strategy.of(chosen.loc[row]) for row in chosen.index]
    scored = eagleeye.search(memory.engine, strategies, first=None, memory=memory).set_index("id")
    return [
        {
            "place": place,
            "strategy": strategy,
            "candidate": strategy.id,
            "widths": " ".join(map(str, strategy.widths)),
            "score": scored["accuracy"][strategy.id],
            "loss": scored["loss"][strategy.id],
        }
        for place, strategy in zip(chosen["rank"], strategies, strict=True)
    ]


def told(bench: Bench, row: dict[str, Any], options: argparse.Namespace) -> None:
    """Fine-tune a finalist where that is not on record, and print it."""
    strategy = row.pop("strategy")
    known = read(options.results)
    if any(all(one[name] == str(row[name]) for name in (*SETTING, "widths")) for one in known):
        return
    same = [one for one in known if all(one[name] == str(row[name]) for name in SAME)]
    if same:
        row |= {name: same[0][name] for name in (*FACTS, *FITTED)}
    else:
        start = _in_turn(bench, strategy)
        row |= start.facts
        recipe = {"lr": options.lr, "distillation": options.distillation, "augment": augmentation(bench.subject.name)}
        fit = bench.fit(start, Recipe(options.epochs, batch_size=options.batch_size, seed=row["seed"], **recipe))
        row |= {name: fit[name] for name in FITTED}
    with written_whole(options.results) as beside, beside.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows([*known, row])
    figures = " ".join(f"{name} {float(row[name]):.2%}" for name in ("score", "in_turn", *FITTED[:2]))
    search = f"{row['budget']:.1%} {row['sampler']} draw {row['draw']}"
    print(f"{search}: {row['place']}. {strategy.id} {figures}", flush=True)


def _in_turn(bench: Bench, strategy: Strategy) -> Start:
    """A candidate as fine-tuning finds it, with its scores."""
    subject = bench.subject
    found = subject.reconstruction
    way: dict[str, Any] = {"criterion": found.order, "refit": found, "in_turn": subject.measured}
    network = eagleeye.prune(subject.network, subject.space, strategy, **way)
    adapt_batch_norm(
        network, Batches(subject.calibration, subject.preprocess, batch_size=128, device="cpu", labelled=False)
    )
    score = evaluate(network, bench.validation)
    full, thin = (eagleeye.cost(each, subject.measured[:1]) for each in (subject.network, network))
    fractions = {"macs_fraction": thin.macs / full.macs, "params_fraction": thin.params / full.params}
    return Start(network, {**fractions, "in_turn": score.accuracy, "in_turn_loss": score.loss})


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """What each score tells of the accuracy after fine-tuning, and what choosing by it leads to.

    Args:
        table: The results.

    Returns:
        Per search: finalists, test accuracy of the even network, the mean of the finalists and the best of them, then
        per score Spearman's correlation with the test accuracy and the test accuracy of its choice, in points.
    """
    rows = {}
    searches = [name for name in SETTING if name != "seed"]
    for search, fits in table.groupby(searches, sort=False):
        means = fits.groupby("widths", sort=False).agg({"candidate": "first", "place": "first", **_means()})
        tests = 100 * means["test_accuracy"]
        facts = {"networks": len(means), "even": tests[means["candidate"] == "even-filled"].mean()}
        facts |= {"mean": tests.mean(), "best": tests.max()}
        for name, sign in BY.items():
            facts[f"rho {name}"] = (sign * means[name]).corr(tests, method="spearman")
            facts[f"by {name}"] = tests.iloc[(sign * means[name]).argmax()]
        rows[search] = facts
    return pd.DataFrame(rows).T.rename_axis(searches).T


def _means() -> dict[str, str]:
    return dict.fromkeys((*BY, "test_accuracy"), "mean")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finalists", description=__doc__)
    parser.add_argument("--subject", default=names()[0], help="what to prune and fine-tune")
    parser.add_argument("--macs", type=float, nargs="+", default=[0.25], help="budgets, fractions of the MACs")
    parser.add_argument("--samplers", nargs="+", choices=["uniform", "evolution"], default=["uniform", "evolution"])
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2], help="seeds of the draws, a search each")
    parser.add_argument("--candidates", type=int, default=100, help="of a search")
    parser.add_argument("--best", type=int, default=8, help="of them that are fine-tuned")
    parser.add_argument("--seeds", type=int, default=1, help="fits of each network")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=15000, help="training images of a fit")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.01, help="learning rate at its peak")
    parser.add_argument("--distillation", type=float, default=0.0, help="share of the loss, see docs/finetuning.md")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the rows are kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
