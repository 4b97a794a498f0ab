"""One candidate in one rung of a race: what it takes to score it anywhere, and what comes of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from eagleeye.engine import Engine
from eagleeye.errors import EvaluationError
from eagleeye.scoring.racing import Rung, Scores
from eagleeye.strategies import Strategy
from eagleeye.task.scores import VANILLA


@dataclass(frozen=True)
class Entry:
    """A candidate in a rung.

    Attributes:
        strategy: The candidate.
        rung: With how many images it is scored.
        begun: Calibration images of its last rung, and the BN statistics it ended with; None: it starts here.
    """

    strategy: Strategy
    rung: Rung
    begun: tuple[int, bytes] | None


@dataclass(frozen=True)
class Scored:
    """What the evaluation of an entry found.

    Attributes:
        id: The candidate's.
        scores: Its scores.
        statistics: Its BN statistics.
    """

    id: str
    scores: Scores
    statistics: bytes


def score_entry(engine: Engine, entry: Entry, *, vanilla: bool = False) -> Scored:
    """Score a candidate in a rung, on this thread.

    Args:
        engine: What scores it.
        entry: The candidate.
        vanilla: Whether to score it without recalibration, too.

    Raises:
        EvaluationError: It cannot be scored.
    """
    started = time.perf_counter()
    try:
        outcome = engine.score(
            entry.strategy,
            calibration=entry.rung.calibration,
            sub_validation=entry.rung.sub_validation,
            begun=None if entry.begun is None else (entry.begun[0], _unpacked(engine, entry.begun[1])),
            vanilla=vanilla,
        )
    except EvaluationError as error:
        raise EvaluationError(f"candidate {entry.strategy.id}: {error}") from error
    seconds = time.perf_counter() - started
    values = outcome.scores
    columns = outcome.predictions.columns
    if outcome.vanilla_predictions is not None:
        values |= {VANILLA + name: score for name, score in outcome.vanilla_predictions.scores.items()}
    packed = {name: engine.task.scorers[name].evidence(column).pack() for name, column in columns.items()}
    return Scored(entry.strategy.id, Scores(values, packed, seconds), outcome.statistics.numpy().tobytes())


def _unpacked(engine: Engine, statistics: bytes) -> torch.Tensor:
    kind = np.float64 if engine.parent.precision == torch.float64 else np.float32
    return torch.from_numpy(np.frombuffer(statistics, kind).copy())
