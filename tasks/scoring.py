"""The work of evaluate: one candidate in one rung of the race, wherever it is scored."""

from eagleeye.entry import Entry, Scored, score_entry
from tasks.artifacts import BASELINE, CALIBRATION, SUB_VALIDATION
from tasks.bench import open_bench
from tasks.parcel import Parcel

FILES = (BASELINE, CALIBRATION, SUB_VALIDATION)


def score(shared: Parcel, entry: Entry) -> Scored:
    """Score a candidate.

    Args:
        shared: The settings, with the key of `tasks.bench.scoring_key`.
        entry: The candidate.

    Raises:
        EvaluationError: It cannot be scored.
    """
    bench = open_bench(shared.params, shared.key)
    bench.take_a_core()
    return score_entry(bench.engine, entry, vanilla=shared.params.evaluate.vanilla)
