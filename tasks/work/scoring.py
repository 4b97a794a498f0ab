"""The work of evaluate: one candidate in one rung of the race, wherever it is scored."""

from eagleeye.scoring.entry import Entry, Scored, score_entry
from tasks.artifacts import BASELINE, CALIBRATION, SUB_VALIDATION
from tasks.inputs.evaluator import open_evaluator
from tasks.run.shared import Shared

FILES = (BASELINE, CALIBRATION, SUB_VALIDATION)


def score(shared: Shared, entry: Entry) -> Scored:
    """Score a candidate.

    Args:
        shared: The settings, with the key of `tasks.inputs.evaluator.scoring_key`.
        entry: The candidate.

    Raises:
        EvaluationError: It cannot be scored.
    """
    evaluator = open_evaluator(shared.params, shared.key)
    evaluator.take_a_core()
    return score_entry(evaluator.engine, entry, vanilla=shared.params.evaluate.vanilla)
