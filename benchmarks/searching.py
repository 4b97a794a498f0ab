"""What a search finds for what it spends: `python -m benchmarks.searching`.

Strategies drawn uniformly against those bred by `evolution`, each with and without racing, over several seeds. A point
of a curve is a whole search of so many generations: its winner's score on all images, against the images that went
through networks to find it, in units of a candidate's full evaluation. Searches that are on file are not run again, so
that the command may be stopped and started again.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

import eagleeye
from benchmarks.__main__ import RESULTS
from benchmarks.subjects import names, open_subject
from benchmarks.ways import Raced
from eagleeye.engine import Engine
from eagleeye.files import written_whole
from eagleeye.scoring.race import Generations
from eagleeye.scoring.racing import Rung
from eagleeye.search import FIRST, Memory, rungs
from eagleeye.strategies import Shell, Strategy, sampler
from eagleeye.task.classification import SCORERS

FILE = RESULTS / "searching.csv"
SAMPLERS = ("uniform", "evolution")


@dataclass(frozen=True)
class Settings:
    """What tells searches apart; the first columns of the table."""

    subject: str
    score: str
    sampler: str
    racing: bool
    seed: int
    size: int
    """Candidates per generation."""


@dataclass(frozen=True)
class Found:
    """What a search found, and what it spent."""

    generations: int
    candidates: int
    evaluations: float
    """Images spent, in units of a candidate's full evaluation."""
    best: float
    """The winner's score on all images."""
    winner: Strategy


def search(
    settings: Settings, engine: Engine, memory: Memory, shell: Shell, *, generations: int, first: Rung = FIRST
) -> Iterator[Found]:
    """Searches of one generation, of two, …, each going on from the one before.

    Args:
        settings: Which sampler, and whether candidates race.
        engine: Scores candidates.
        memory: What it has found so far: the bits are the same every time.
        shell: The strategies that meet the budget.
        generations: Of the longest search.
        first: Images of the first rung of a race.

    Yields:
        What each found.
    """
    more = Generations(shell, [settings.size], sampler(settings.sampler), settings.seed)
    start, drawn = first if settings.racing else None, list[Strategy]()
    for generation in range(1, generations + 1):
        table = eagleeye.search(engine, drawn, score=settings.score, first=start, generations=more, memory=memory)
        best, spent = float(table[settings.score][0]), _spent(table, rungs(engine, len(table), start))
        yield Found(generation, len(table), spent, best, Strategy.of(table.iloc[0]))
        drawn = [Strategy.of(row) for _, row in table.sort_values("id").iterrows()]


def _spent(table: pd.DataFrame, planned: Sequence[Rung]) -> float:
    """The images that a search has taken altogether, in units of a candidate's full evaluation."""
    looked = itertools.accumulate(rung.sub_validation for rung in planned)
    # Statistics go on from where the rung before stopped: a candidate has seen its last rung's calibration images.
    images = {rung.sub_validation: rung.calibration + seen for rung, seen in zip(planned, looked, strict=True)}
    return int(table["images"].map(images).sum()) / (planned[-1].calibration + planned[-1].sub_validation)


def measure(
    subject: str,
    score: str,
    seeds: int,
    generations: int,
    size: int,
    file: Path = FILE,
    racing: Sequence[bool] = (True, False),
) -> pd.DataFrame:
    """Run the searches that are not on file yet.

    Args:
        subject: Name of a subject.
        score: Which score.
        seeds: Searches of each kind, with the seeds 0, 1, …
        generations: Of the longest search.
        size: Candidates per generation.
        file: The table.
        racing: With racing, without, or both.

    Returns:
        The table: columns of `Settings` and of `Found`.
    """
    table = pd.read_csv(file) if file.is_file() else pd.DataFrame()
    kinds = itertools.product(range(seeds), SAMPLERS, racing)
    wanted = [Settings(subject, score, name, race, seed, size) for seed, name, race in kinds]
    missing = [settings for settings in wanted if _longest(table, settings) < generations]
    if not missing:
        return table
    opened = open_subject(subject)
    engine = Raced(opened).engine
    memory, shell = Memory(engine), Shell(opened.space, eagleeye.Budget(macs=0.5), 0.7)
    for settings in missing:
        found = search(settings, engine, memory, shell, generations=generations)
        rows = [vars(settings) | vars(each) | {"winner": each.winner.id} for each in found]
        rest = table[~_same(table, settings)] if len(table) else table
        table = pd.concat([rest, pd.DataFrame(rows)], ignore_index=True)
        with written_whole(file) as beside:
            table.to_csv(beside, index=False)
        print(f"{settings}: {rows[-1]['best']:.4f} after {rows[-1]['evaluations']:.1f} evaluations", flush=True)
    return table


def _same(table: pd.DataFrame, settings: Settings) -> pd.Series:
    return (table[list(vars(settings))] == list(vars(settings).values())).all(axis=1)


def _longest(table: pd.DataFrame, settings: Settings) -> int:
    return (
        int(table.loc[_same(table, settings), "generations"].max()) if len(table) and any(_same(table, settings)) else 0
    )


def main() -> None:
    """Measure what is missing, and print the means over the seeds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.searching", description=__doc__)
    parser.add_argument("--subject", default=names()[0], help="what to measure on")
    parser.add_argument("--score", default="accuracy", choices=list(SCORERS), help="what is searched for")
    parser.add_argument("--seeds", type=int, default=5, help="searches of each kind")
    parser.add_argument("--generations", type=int, default=10, help="of the longest search")
    parser.add_argument("--size", type=int, default=30, help="candidates per generation")
    parser.add_argument("--racing", nargs="+", choices=["on", "off"], default=["on", "off"])
    parser.add_argument(
        "--file", type=Path, default=FILE, help="the table; python -m benchmarks.plots draws the default"
    )
    options = parser.parse_args()
    options.file.parent.mkdir(parents=True, exist_ok=True)
    lengths, racing = (options.seeds, options.generations, options.size), [each == "on" for each in options.racing]
    table = measure(options.subject, options.score, *lengths, options.file, racing)
    means = table.groupby(["subject", "score", "sampler", "racing", "candidates"])[["evaluations", "best"]].mean()
    print(means.to_string(float_format=lambda value: f"{value:.4g}"))


if __name__ == "__main__":
    main()
