"""Candidate scores, kept outside the pipeline's outputs so that a search killed at any moment continues.

DVC deletes a stage's outputs before it runs the stage again; what a killed search had already paid for lives
here instead. A row is found by the hash of everything that determines a score, so a stale one is never read.
"""

import math
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eagleeye.errors import ConfigError, EvaluationError
from eagleeye.scoring.racing import Rung, Scores
from eagleeye.task import CLASSIFICATION, Task
from eagleeye.task.scores import VANILLA
from tasks.state.database import open_database

SCHEMA = """
CREATE TABLE IF NOT EXISTS outcomes (
    search_key TEXT NOT NULL,
    candidate_id TEXT NOT NULL,
    calibration_images INTEGER NOT NULL,
    images INTEGER NOT NULL,
    {},
    PRIMARY KEY (search_key, candidate_id, calibration_images, images)
) WITHOUT ROWID"""
PLACE = ("search_key", "candidate_id", "calibration_images", "images")


def columns_of(task: Task) -> dict[str, str]:
    """The columns beside a row's place, with their types in SQLite.

    Where a score has no value there, it is not a number, or was not asked for.

    Args:
        task: What the network is for.

    Raises:
        ConfigError: A score of it is called what another column is called.
    """
    names = [*task.scorers, *(scorer.images for scorer in task.scorers.values())]
    own = {*PLACE, "seconds", "statistics"}
    if taken := [name for place, name in enumerate(names) if name in own or name in names[:place]]:
        raise ConfigError(
            f"task {task.name}: {taken[0]!r} names two columns of the record of scores; call the score, or what it is"
            " image by image, otherwise"
        )
    return {
        **dict.fromkeys(task.scorers, "REAL"),
        # Image by image, what the scores are the means of.
        **{scorer.images: "BLOB" for scorer in task.scorers.values()},
        **{VANILLA + name: "REAL" for name in task.scorers},
        "seconds": "REAL",  # NULL: not measured
        "statistics": "BLOB",  # NULL: dropped, the candidate is out of the race
    }


class Scorebook:
    """Scores by search key and candidate id; every record is on disk when `record` returns.

    One object may be used from several threads, one file from several processes.
    """

    def __init__(self, path: str | Path, task: Task = CLASSIFICATION) -> None:
        """Open the record, creating it and its folder where missing.

        Args:
            path: The SQLite file, of any task's scores.
            task: What the network is for.

        Raises:
            EvaluationError: The file cannot be opened or is not a record of scores.
        """
        self._path = Path(path)
        self._scorers = task.scorers
        self._columns = columns_of(task)
        self._lock = threading.Lock()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = open_database(self._path, synchronous="FULL")
            self._make_table()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def known(self, search_key: str, rung: Rung) -> dict[str, Scores]:
        """The scores on record for one rung of one search.

        Args:
            search_key: From `tasks.inputs.evaluator.scoring_key`.
            rung: With how many images.

        Returns:
            Scores by candidate id, in the order of the ids.
        """
        query = (
            f"SELECT candidate_id, {_listed(self._columns)} FROM outcomes"  # noqa: S608 - names are checked by task_of
            " WHERE search_key = ? AND calibration_images = ? AND images = ? ORDER BY candidate_id"
        )
        rows = self._run(query, (search_key, *astuple(rung))).fetchall()
        return {name: self._scores(dict(zip(self._columns, columns, strict=True))) for name, *columns in rows}

    def rungs(self, search_key: str) -> list[Rung]:
        """The rungs of which a search has scores on record, in the order of their images."""
        query = "SELECT DISTINCT calibration_images, images FROM outcomes WHERE search_key = ? ORDER BY 1, 2"
        return [Rung(*row) for row in self._run(query, (search_key,)).fetchall()]

    def record(
        self, search_key: str, candidate_id: str, rung: Rung, scores: Scores, statistics: bytes | None = None
    ) -> None:
        """Put one candidate on record; the same scores a second time change nothing.

        Args:
            search_key: From `tasks.inputs.evaluator.scoring_key`.
            candidate_id: The strategy's id.
            rung: With how many images it was scored.
            scores: What its evaluation found.
            statistics: Its BN statistics, to go on from in the next rung.

        Raises:
            EvaluationError: The candidate is on record with other scores, or the record cannot be written.
        """
        row = dict(zip(PLACE, (search_key, candidate_id, *astuple(rung)), strict=True)) | dict(scores.values)
        row |= {self._scorers[name].images: packed for name, packed in scores.images.items()}
        row |= {"seconds": scores.seconds, "statistics": statistics}
        columns = _listed(row)
        marks = ", ".join("?" for _ in row)
        insert = f"INSERT INTO outcomes ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 - as above
        added = self._run(insert, tuple(row.values())).rowcount
        if not added:
            self._must_agree(self.known(search_key, rung)[candidate_id], scores, candidate_id)

    def statistics(self, search_key: str, candidate_id: str, rung: Rung) -> tuple[int, bytes] | None:
        """The BN statistics from which a candidate's evaluation can go on.

        Args:
            search_key: From `tasks.inputs.evaluator.scoring_key`.
            candidate_id: The strategy's id.
            rung: The evaluation that is to come.

        Returns:
            The number of calibration images they are of, and the statistics; None where there are none.
        """
        query = (
            "SELECT calibration_images, statistics FROM outcomes WHERE search_key = ? AND candidate_id = ?"
            " AND calibration_images <= ? AND statistics IS NOT NULL ORDER BY calibration_images DESC LIMIT 1"
        )
        values = (search_key, candidate_id, rung.calibration)
        found: tuple[int, bytes] | None = self._run(query, values).fetchone()
        return found

    def drop_statistics(self, search_key: str, candidate_ids: Iterable[str]) -> None:
        """Forget the BN statistics of candidates that are out of the race: for a large network they are large."""
        update = "UPDATE outcomes SET statistics = NULL WHERE search_key = ? AND candidate_id = ?"
        with self._lock:
            try:
                with self._connection:
                    self._connection.execute("BEGIN")
                    self._connection.executemany(update, [(search_key, name) for name in candidate_ids])
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    def _make_table(self) -> None:
        with self._connection:
            # Several processes may open a file at once: who comes second finds the columns there.
            self._connection.execute("BEGIN IMMEDIATE")
            told = ", ".join(f'"{name}" {kind}' for name, kind in self._columns.items())
            self._connection.execute(SCHEMA.format(told))
            there = {row[1] for row in self._connection.execute("PRAGMA table_info(outcomes)")}
            for name in self._columns.keys() - there:  # another task's file, or an older one
                self._connection.execute(f'ALTER TABLE outcomes ADD COLUMN "{name}" {self._columns[name]}')

    def _run(self, statement: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        with self._lock:
            try:
                return self._connection.execute(statement, values)
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    def close(self) -> None:
        """Close the file; records need no closing to be safe."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _scores(self, row: Mapping[str, Any]) -> Scores:
        vanilla = {VANILLA + name: row[VANILLA + name] for name in self._scorers}
        asked = any(value is not None for value in vanilla.values())
        found = {name: row[name] for name in self._scorers} | (vanilla if asked else {})
        values = {name: math.nan if value is None else value for name, value in found.items()}
        images = {name: row[scorer.images] for name, scorer in self._scorers.items()}
        return Scores(values, images, row["seconds"])

    def _must_agree(self, old: Scores, new: Scores, candidate_id: str) -> None:
        if _comparable(old) != _comparable(new):
            raise EvaluationError(
                f"candidate {candidate_id}: scored {new} now but {old} before with the same inputs;"
                f" find out why, then move {self._path} away to score every candidate anew"
            )

    def _unusable(self, error: sqlite3.Error) -> EvaluationError:
        return EvaluationError(
            f"{self._path}: the record of candidate scores cannot be used ({error}); free the disk or mend"
            " the permissions, or move the file away to score every candidate anew"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _comparable(scores: Scores) -> tuple[object, ...]:
    # As text, because NaN differs from itself; without the time, which is never the same twice. Adding zero turns -0.0
    # into 0.0: SQLite does not keep the sign.
    return {name: repr(value + 0.0) for name, value in scores.values.items()}, scores.images
