"""How time and memory grow with the number of candidates: the digits, 100 to 10,000."""

from __future__ import annotations

import resource
import time

import pandas as pd

from benchmarks.subjects import Subject, open_subject
from benchmarks.ways import Raced

COUNTS = (100, 1_000, 10_000)


def grow(counts: tuple[int, ...] = COUNTS) -> pd.DataFrame:
    """Search among more and more candidates.

    Args:
        counts: Numbers of candidates.

    Returns:
        Per number: seconds for drawing the strategies, seconds for scoring and ranking, seconds per candidate, and the
        process's peak memory so far, in MiB.
    """
    subject = open_subject("digits_resnet20")
    raced = Raced(subject)
    raced.score(subject.candidates(4))
    return pd.DataFrame([_search(subject, raced, count) for count in counts])


def _search(subject: Subject, raced: Raced, count: int) -> dict[str, float]:
    started = time.perf_counter()
    candidates = subject.candidates(count)
    drawn = time.perf_counter()
    raced.score(candidates)
    ended = time.perf_counter()
    return {
        "candidates": count,
        "drawing": drawn - started,
        "scoring": ended - drawn,
        "s/candidate": (ended - drawn) / count,
        "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
