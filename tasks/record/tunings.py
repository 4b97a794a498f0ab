"""The runs of a search's fine-tunings in MLflow, with their curves, finished or under way."""

import math
from collections.abc import Mapping
from typing import Any

from tasks.record import texts as words
from tasks.record.api import Run
from tasks.record.shown import Tuning
from tasks.record.store import PARENT, Store, digest_of, finished
from tasks.record.texts import FINETUNE, OUTCOME, STUDY

Points = list[tuple[str, float, int]]


class Tunings:
    """Other settings give another run, another outcome replaces the run."""

    def __init__(self, store: Store, parent: str, runs: Mapping[str, Run], final: str) -> None:
        """Those that are there already.

        Args:
            store: Where they are.
            parent: Run id of the search.
            runs: By the value of their tag `FINETUNE`.
            final: The figure that names them.
        """
        self._store = store
        self._parent = parent
        self._final = final
        self._runs = dict(runs)
        self._shown: dict[str, str] = {}  # the outcome that each shows
        self._ended: set[str] = set()

    def show(self, tuning: Tuning) -> bool:
        """Bring the run of a fine-tuning up to date.

        Returns:
            Whether it has ended with figures that this object had not been shown.
        """
        figures = tuning.figures
        params = {"candidate": tuning.candidate, **words.flatten(tuning.settings, f"{tuning.study or 'finetune'}.")}
        key = digest_of(params)
        outcome = digest_of([dict(tuning.history), dict(figures)])
        if (key in self._ended and not figures) or self._shown.get(key) == outcome:
            return False
        curves = _curves(tuning.history)
        if (run := self._ready(key, tuning, outcome, curves)) is not None:
            self._store.write(run, params, [*curves, *words.points_of(figures)])
            if figures:
                self._end(run.info.run_id, self._name(tuning), outcome)
        self._shown[key] = outcome
        if figures:
            self._ended.add(key)
        return bool(figures)

    def close(self) -> None:
        """End those that have come to no end."""
        for key, run in self._runs.items():
            if key not in self._ended and not finished(run):
                self._store.end(run.info.run_id, "KILLED")

    def _ready(self, key: str, tuning: Tuning, outcome: str, curves: Points) -> Run | None:
        """The run, ready to be written to; None where nothing is missing there."""
        run = self._runs.get(key)
        if run is not None and (known := run.data.tags.get(OUTCOME)):
            if not tuning.figures or (known == outcome and finished(run)):
                return None  # done, or done before and once more at work: the outcome tells whether it is another one
            stale = known != outcome
        else:
            stale = run is not None and not self._points(run, curves) <= set(curves)
        if run is not None and stale:
            self._store.delete(run.info.run_id)
            run = None
        if run is None:
            study = {STUDY: tuning.study} if tuning.study else {}
            run = self._store.create(self._name(tuning), {FINETUNE: key, PARENT: self._parent, **study})
        elif key not in self._shown and not tuning.figures:
            self._store.update(run.info.run_id, status="RUNNING")
        self._runs[key] = run
        return run

    def _points(self, run: Run, curves: Points) -> set[tuple[str, float, int]]:
        return self._store.points(run.info.run_id, {column for column, _, _ in curves})

    def _name(self, tuning: Tuning) -> str:
        who = f"fine-tune {tuning.candidate}"
        if tuning.study:
            who = f"{tuning.study} {tuning.candidate}, seed {tuning.settings['seed']}"
        return words.run_name(who, tuning.figures[self._final]) if tuning.figures else who

    def _end(self, run_id: str, name: str, outcome: str) -> None:
        self._store.update(run_id, name=name)
        self._store.tag(run_id, OUTCOME, outcome)
        self._store.end(run_id)


def _curves(history: Mapping[str, Any]) -> Points:
    return [
        (words.key(column), float(value), int(epoch))
        for column, values in history.items()
        for epoch, value in zip(history["epoch"], values, strict=True)
        if column != "epoch" and value is not None and not math.isnan(value)
    ]
