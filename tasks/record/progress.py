"""What a stage at work tells of its progress, for MLflow to be shown."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property

import pandas as pd

from eagleeye.scoring.racing import Scores
from tasks.artifacts import GROUPS, read_table, rows_of
from tasks.record.shown import Tuning, View
from tasks.record.texts import Candidate
from tasks.record.view import candidate_of, columns_of


class Progress:
    """What the stage at work has found and that is in no table yet."""

    def __init__(self, keep: Callable[[Candidate | Tuning], None] = lambda _: None) -> None:
        """Nothing yet.

        Args:
            keep: Given what comes.
        """
        self._keep = keep
        self._candidates: list[Candidate] = []
        self._tunings: dict[tuple[str, str, object], Tuning] = {}

    def scored(self, table: pd.DataFrame, found: Mapping[str, tuple[int, Scores]]) -> None:
        """Tell of scored candidates.

        Args:
            table: The strategies.
            found: Sub-validation images and scores by id.
        """
        for row in rows_of(table[table["id"].isin(list(found))]):
            images, scores = found[row["id"]]
            self.told(candidate_of(self._groups, row, images, scores))

    def told(self, found: Candidate | Tuning) -> None:
        """Tell of a scored candidate, or how far a fine-tuning has come, which replaces what was told of it before."""
        self._keep(found)
        if isinstance(found, Candidate):
            self._candidates.append(found)
        else:
            self._tunings[found.study, found.candidate, found.settings.get("seed")] = found

    def epochs(self, candidate: str, settings: Mapping[str, object], study: str = "") -> Callable[[pd.DataFrame], None]:
        """What is to be called with the history after each epoch of a fine-tuning.

        Args:
            candidate: Who is fine-tuned.
            settings: The fine-tuning's settings.
            study: What it is done for beside the search.
        """
        return lambda history: self.told(Tuning(candidate, settings, columns_of(history), study=study))

    def added_to(self, view: View) -> View:
        """A view of the tables with what has come since."""
        candidates = [*self._candidates, *view.candidates]
        tunings = [*self._tunings.values(), *view.tunings]
        return replace(view, candidates=candidates, tunings=tunings)

    @cached_property
    def _groups(self) -> list[str]:
        return list(read_table(GROUPS)["name"])
