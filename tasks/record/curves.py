"""The curves of a search's run: scores in the order of scoring, the best so far, and generation by generation."""

import re
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from statistics import fmean

from tasks.record.api import Run
from tasks.record.store import Store
from tasks.record.texts import Terms

EACH = "candidates/{}"
BEST = "candidates/best_{}"  # of the score that ranks: a section of charts, and the first
BRED = ("generations/best_{}", "generations/mean_{}")
STEPS_PER_BATCH = 500
SECONDS_BETWEEN = 1.0


class Curves:
    """Brought up to date now and then; a generation is drawn when all of it is scored."""

    def __init__(self, store: Store, run: Run, terms: Terms, scores: Sequence[tuple[str, float]]) -> None:
        """Draw what is scored already.

        Args:
            store: Where the run is.
            run: The search's.
            terms: Which score ranks.
            scores: Ids and scores in the order of scoring, references left out.
        """
        self._store = store
        self._run = run
        self._by = terms.ranked_by
        self._scores = list(scores)
        self._better = max if terms.scores[self._by] > 0 else min
        self._drawn = store.steps(run.info.run_id, BEST.format(self._by))
        self._bred: int | None = None  # generations that are drawn, once it has been looked up
        self._drawn_at = 0.0
        self.draw()

    def add(self, name: str, score: float) -> None:
        """Another candidate is scored."""
        self._scores.append((name, score))

    def draw_now_and_then(self) -> None:
        """Draw, unless that was done a moment ago."""
        if time.monotonic() - self._drawn_at > SECONDS_BETWEEN:
            self.draw()

    def draw(self) -> None:
        """Draw the candidates that are not drawn yet."""
        scores = [score for _, score in self._scores]
        curves = {EACH.format(self._by): scores, BEST.format(self._by): list(accumulate(scores, self._better))}
        while self._drawn < len(scores):
            rows = range(self._drawn, min(self._drawn + STEPS_PER_BATCH, len(scores)))
            points = [(name, curve[row], row + 1) for row in rows for name, curve in curves.items()]
            self._store.write(self._run, {}, points)
            self._drawn = rows.stop
        self._drawn_at = time.monotonic()

    def draw_generations(self, params: Mapping[str, str], *, ended: bool) -> None:
        """Draw the generations that are scored and not drawn yet: the best and the mean score of each.

        Args:
            params: The settings, as the search's run shows them.
            ended: Whether all candidates are scored.
        """
        ends = _ends(params)
        if len(ends) < 2 or not self._scores:  # one point would be a bar
            return
        best, mean = (name.format(self._by) for name in BRED)
        if self._bred is None:
            self._bred = self._store.steps(self._run.info.run_id, mean)
        found: dict[int, list[float]] = {}
        for name, score in self._scores:
            found.setdefault(_generation(name, ends), []).append(score)
        whole = sorted(found) if ended else sorted(found)[:-1]
        points = [
            (curve, value, step)
            for step in whole
            if step > self._bred
            for curve, value in ((best, self._better(found[step])), (mean, fmean(found[step])))
        ]
        if points:
            self._store.write(self._run, {}, points)
            self._bred = whole[-1]


def _ends(params: Mapping[str, str]) -> list[int]:
    """Where each generation ends, in the numbers of candidates."""
    count, generations = (int(params.get(f"strategies.{name}", "1")) for name in ("count", "generations"))
    whole, left = divmod(count, max(1, min(generations, count)))
    return list(accumulate(whole + (number < left) for number in range(min(generations, count))))


def _generation(name: str, ends: Sequence[int]) -> int:
    """The generation that a candidate belongs to, from 1; what was not drawn runs with the first."""
    number = re.fullmatch(r"s(\d+)", name)
    return 1 + min(bisect_right(ends, int(number[1])), len(ends) - 1) if number else 1
