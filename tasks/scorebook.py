"""Candidate scores, kept outside the pipeline's outputs so that a search killed at any moment continues.

DVC deletes a stage's outputs before it runs the stage again; what a killed search had already paid for lives
here instead. A row is found by the hash of everything that determines a score, so a stale one is never read.
"""

import math
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eagleeye.confidence import unpack
from eagleeye.errors import EvaluationError
from eagleeye.racing import Rung, Standing
from eagleeye.scores import merits
from tasks.database import open_database

SCHEMA = """
CREATE TABLE IF NOT EXISTS outcomes (
    search_key TEXT NOT NULL,
    candidate_id TEXT NOT NULL,
    calibration_images INTEGER NOT NULL,
    images INTEGER NOT NULL,
    accuracy REAL NOT NULL,
    loss REAL,             -- NULL: not a number, for which SQLite has no value
    agreement REAL NOT NULL,
    divergence REAL,
    correct BLOB NOT NULL, -- image by image, what the four are the means of
    losses BLOB NOT NULL,
    agrees BLOB NOT NULL,
    divergences BLOB NOT NULL,
    vanilla_accuracy REAL, -- NULL: not scored without recalibration
    vanilla_loss REAL,
    vanilla_agreement REAL,
    vanilla_divergence REAL,
    seconds REAL,          -- NULL: not measured
    statistics BLOB,       -- NULL: dropped, the candidate is out of the race
    PRIMARY KEY (search_key, candidate_id, calibration_images, images)
) WITHOUT ROWID"""


@dataclass(frozen=True)
class Scores:
    """What the evaluation of one candidate in one rung of the race found.

    Attributes:
        accuracy: Top-1 on the sub-validation images after adaptive BN, in [0, 1].
        loss: Mean cross-entropy there, in nats.
        agreement: Share of these images on which it chooses the unpruned network's class.
        divergence: Mean Kullback-Leibler divergence from the unpruned network's probabilities there, in nats.
        correct: The accuracy image by image, as `eagleeye.confidence.Evidence.pack` packs it. Kept of all four scores,
            about four bytes an image together, so that another score can rank without scoring anew.
        losses: The loss image by image.
        agrees: The agreement image by image.
        divergences: The divergence image by image.
        vanilla_accuracy: The accuracy without recalibration; None where not scored.
        vanilla_loss: The loss without recalibration; None where not scored.
        vanilla_agreement: The agreement without recalibration; None where not scored.
        vanilla_divergence: The divergence without recalibration; None where not scored.
        seconds: Wall-clock time of the evaluation; no part of the result.
    """

    accuracy: float
    loss: float
    agreement: float
    divergence: float
    correct: bytes
    losses: bytes
    agrees: bytes
    divergences: bytes
    vanilla_accuracy: float | None = None
    vanilla_loss: float | None = None
    vanilla_agreement: float | None = None
    vanilla_divergence: float | None = None
    seconds: float | None = None

    def standing(self, score: str) -> Standing:
        """What the race looks at, if it is decided by one of the four scores."""
        packed = getattr(self, PACKED[score])
        return Standing(merits({name: getattr(self, name) for name in PACKED}, score), unpack(packed, score))


PACKED = {"accuracy": "correct", "loss": "losses", "agreement": "agrees", "divergence": "divergences"}
"""Which attribute holds a score image by image."""
COLUMNS = [field.name for field in fields(Scores)]


class Scorebook:
    """Scores by search key and candidate id; every record is on disk when `record` returns.

    One object may be used from several threads, one file from several processes.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the record, creating it and its folder where missing.

        Args:
            path: The SQLite file.

        Raises:
            EvaluationError: The file cannot be opened or is not a record of scores.
        """
        self._path = Path(path)
        self._lock = threading.Lock()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = open_database(self._path, synchronous="FULL")
            self._connection.execute(SCHEMA)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def known(self, search_key: str, rung: Rung) -> dict[str, Scores]:
        """The scores on record for one rung of one search.

        Args:
            search_key: From `tasks.bench.scoring_key`.
            rung: With how many images.

        Returns:
            Scores by candidate id, in the order of the ids.
        """
        query = (
            f"SELECT candidate_id, {', '.join(COLUMNS)} FROM outcomes"  # noqa: S608 - no user's text
            " WHERE search_key = ? AND calibration_images = ? AND images = ? ORDER BY candidate_id"
        )
        rows = self._run(query, (search_key, *astuple(rung))).fetchall()
        return {candidate_id: _scores(*columns) for candidate_id, *columns in rows}

    def record(
        self, search_key: str, candidate_id: str, rung: Rung, scores: Scores, statistics: bytes | None = None
    ) -> None:
        """Put one candidate on record; the same scores a second time change nothing.

        Args:
            search_key: From `tasks.bench.scoring_key`.
            candidate_id: The strategy's id.
            rung: With how many images it was scored.
            scores: What its evaluation found.
            statistics: Its BN statistics, to go on from in the next rung.

        Raises:
            EvaluationError: The candidate is on record with other scores, or the record cannot be written.
        """
        row = (search_key, candidate_id, *astuple(rung), *astuple(scores), statistics)
        insert = f"INSERT INTO outcomes VALUES ({', '.join('?' for _ in row)}) ON CONFLICT DO NOTHING"  # noqa: S608
        added = self._run(insert, row).rowcount
        if not added:
            self._must_agree(self.known(search_key, rung)[candidate_id], scores, candidate_id)

    def statistics(self, search_key: str, candidate_id: str, rung: Rung) -> tuple[int, bytes] | None:
        """The BN statistics from which a candidate's evaluation can go on.

        Args:
            search_key: From `tasks.bench.scoring_key`.
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


def _scores(*columns: Any) -> Scores:
    found = dict(zip(COLUMNS, columns, strict=True))
    vanilla = [] if found["vanilla_accuracy"] is None else ["vanilla_loss", "vanilla_agreement", "vanilla_divergence"]
    missing = [name for name in ("loss", "divergence", *vanilla) if found[name] is None]
    return Scores(**found | dict.fromkeys(missing, math.nan))


def _comparable(scores: Scores) -> tuple[str, ...]:
    # As text, because NaN differs from itself; without the time, which is never the same twice. Adding zero turns -0.0
    # into 0.0: SQLite does not keep the sign.
    values = astuple(scores)[:-1]
    return tuple(repr(value + 0.0 if isinstance(value, float) else value) for value in values)
