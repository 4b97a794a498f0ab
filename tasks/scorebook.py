"""Candidate scores, kept outside the pipeline's outputs so that a search killed at any moment continues.

DVC deletes a stage's outputs before it runs the stage again; what a killed search had already paid for lives
here instead. A row is found by the hash of everything that determines a score, so a stale one is never read.
"""

import hashlib
import json
import math
import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from eagleeye.errors import EvaluationError

Json = None | bool | int | float | str | list["Json"] | tuple["Json", ...] | Mapping[str, "Json"]

WAIT_SECONDS = 60.0  # for another process to finish writing
SCHEMA = """
CREATE TABLE IF NOT EXISTS scores (
    search_key TEXT NOT NULL,
    candidate_id TEXT NOT NULL,
    accuracy REAL NOT NULL,
    loss REAL,             -- NULL: not a number, for which SQLite has no value
    vanilla_accuracy REAL, -- NULL: not scored without recalibration
    vanilla_loss REAL,
    seconds REAL,          -- NULL: not measured
    PRIMARY KEY (search_key, candidate_id)
) WITHOUT ROWID"""


@dataclass(frozen=True)
class Scores:
    """What the evaluation of one candidate found.

    Attributes:
        accuracy: Top-1 on the sub-validation images after adaptive BN, in [0, 1].
        loss: Mean cross-entropy there, in nats.
        vanilla_accuracy: The same without recalibration; None where not scored.
        vanilla_loss: The same without recalibration; None where not scored.
        seconds: Wall-clock time of the evaluation; no part of the result.
    """

    accuracy: float
    loss: float
    vanilla_accuracy: float | None = None
    vanilla_loss: float | None = None
    seconds: float | None = None


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
            self._connection = sqlite3.connect(
                self._path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._switch_to_wal()
            self._connection.execute("PRAGMA synchronous=FULL")  # a commit survives a power cut
            self._connection.execute(SCHEMA)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def known(self, search_key: str) -> dict[str, Scores]:
        """The scores on record for one search.

        Args:
            search_key: From `search_key`.

        Returns:
            Scores by candidate id, in the order of the ids.
        """
        query = (
            "SELECT candidate_id, accuracy, loss, vanilla_accuracy, vanilla_loss, seconds FROM scores"
            " WHERE search_key = ? ORDER BY candidate_id"
        )
        with self._lock:
            try:
                rows = self._connection.execute(query, (search_key,)).fetchall()
            except sqlite3.Error as error:
                raise self._unusable(error) from error
        return {candidate_id: _scores(*columns) for candidate_id, *columns in rows}

    def record(self, search_key: str, candidate_id: str, scores: Scores) -> None:
        """Put one candidate on record; the same scores a second time change nothing.

        Args:
            search_key: From `search_key`.
            candidate_id: The strategy's id.
            scores: What its evaluation found.

        Raises:
            EvaluationError: The candidate is on record with other scores, or the record cannot be written.
        """
        insert = "INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        with self._lock:
            try:
                added = self._connection.execute(insert, (search_key, candidate_id, *astuple(scores))).rowcount
            except sqlite3.Error as error:
                raise self._unusable(error) from error
        if not added:
            self._must_agree(self.known(search_key)[candidate_id], scores, candidate_id)

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

    def _switch_to_wal(self) -> None:
        # The switch asks for the file alone and, unlike a transaction, does not wait for its turn.
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

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


def search_key(parts: Mapping[str, Path | Json]) -> str:
    """One hash over everything that determines a candidate's scores.

    Name every input: baseline checkpoint, strategies table (an id alone says nothing), calibration and
    sub-validation tables, model, preprocessing and evaluation settings, the library's folder. A `Path`
    stands for the content of the file, or of all files below the folder; anything else for itself, as JSON.

    Args:
        parts: Input by name.

    Returns:
        64 hexadecimal digits; independent of the order of the names and of where the files lie.

    Raises:
        OSError: A file cannot be read.
        TypeError: A value has no JSON form.
        ValueError: A number is NaN or infinite.
    """
    content = {name: _content(part) for name, part in parts.items()}
    return hashlib.sha256(_canonical(content)).hexdigest()


def _content(part: Path | Json) -> dict[str, object]:
    if not isinstance(part, Path):
        return {"value": part}
    if not part.is_dir():
        return {"file": _file_digest(part)}
    files = (path for path in part.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {"folder": {path.relative_to(part).as_posix(): _file_digest(path) for path in files}}


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _scores(
    accuracy: float,
    loss: float | None,
    vanilla_accuracy: float | None,
    vanilla_loss: float | None,
    seconds: float | None,
) -> Scores:
    if vanilla_accuracy is not None and vanilla_loss is None:
        vanilla_loss = math.nan
    return Scores(accuracy, math.nan if loss is None else loss, vanilla_accuracy, vanilla_loss, seconds)


def _comparable(scores: Scores) -> tuple[str, ...]:
    # As text, because NaN differs from itself; without the time, which is never the same twice. Adding zero turns -0.0
    # into 0.0: SQLite does not keep the sign.
    return tuple(repr(None if value is None else value + 0.0) for value in astuple(scores)[:-1])
