"""The work of evaluate: one candidate in one rung of the race, wherever it is scored."""

from dataclasses import dataclass

from eagleeye.errors import EvaluationError
from eagleeye.racing import Rung
from eagleeye.strategies import Strategy
from tasks.artifacts import BASELINE, CALIBRATION, SUB_VALIDATION
from tasks.bench import open_bench
from tasks.parcel import Parcel
from tasks.scorebook import Scores

FILES = (BASELINE, CALIBRATION, SUB_VALIDATION)


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


def score(shared: Parcel, entry: Entry) -> Scored:
    """Score a candidate.

    Args:
        shared: The settings, with the key of `tasks.bench.scoring_key`.
        entry: The candidate.

    Raises:
        EvaluationError: It cannot be scored.
    """
    bench = open_bench(shared.params, shared.key)
    try:
        return Scored(entry.strategy.id, *bench.score(entry.strategy, entry.rung, entry.begun))
    except EvaluationError as error:
        raise EvaluationError(f"candidate {entry.strategy.id}: {error}") from error
