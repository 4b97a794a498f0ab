"""Records on their way to MLflow, kept on disk until they are delivered.

A record is one call of `tasks.record.page.SearchRun`: method, arguments, and the files they refer to as hard links
beside, because a later search may replace the artefacts before the record is delivered. It does not say where MLflow
is: that is what params.yaml says when the record is delivered, so that mended settings apply to what waits, and no
password is kept here.
"""

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eagleeye.errors import EagleEyeError
from tasks.state.database import open_database

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice, so that a folder of files belongs to one record
    search_key TEXT NOT NULL,
    name TEXT NOT NULL,
    method TEXT NOT NULL,
    arguments TEXT NOT NULL,
    files TEXT NOT NULL,
    bytes INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS holder (token TEXT NOT NULL);"""


class TrackingError(EagleEyeError):
    """A record of the search cannot be kept, or MLflow refuses it."""


@dataclass(frozen=True)
class Entry:
    """A record that waits.

    Attributes:
        number: Its place in the order of delivery.
        key: Which search it is of.
        name: Name of the search, for people.
        method: Of `tasks.record.page.SearchRun`.
        arguments: By name; files as paths of their kept copies.
        size: Of the files, in bytes.
    """

    number: int
    key: str
    name: str
    method: str
    arguments: Mapping[str, Any]
    size: int


class Outbox:
    """Records in the order in which they are to be delivered; each survives the process once `append` returns.

    One object may be used from several threads, one file from several processes.
    """

    def __init__(self, path: Path) -> None:
        """Open the outbox, creating it and its folder where missing.

        Args:
            path: The SQLite file; kept files lie in the folder of the same name without suffix.

        Raises:
            TrackingError: The file cannot be opened or is no outbox.
        """
        self.path = path
        self._files = path.with_suffix("")
        self._lock = threading.RLock()
        with self._readable_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            # What a power cut takes, `python -m tasks record` brings back.
            self._connection = open_database(path, synchronous="NORMAL")
            self._connection.executescript(SCHEMA)
        self._sweep()

    def append(
        self, key: str, name: str, method: str, arguments: Mapping[str, Any], files: Mapping[str, Path] | None = None
    ) -> None:
        """Keep a record.

        Args:
            key: Which search it is of.
            name: Name of the search, for people.
            method: Of `tasks.record.page.SearchRun`.
            arguments: What JSON can say.
            files: Further arguments: files and folders, kept as they are now.

        Raises:
            TrackingError: The disk is full, or a file is missing.
        """
        names = {argument: path.name for argument, path in (files or {}).items()}
        insert = "INSERT INTO entries (search_key, name, method, arguments, files, bytes) VALUES (?, ?, ?, ?, ?, ?)"
        size = sum(_size(path) for path in (files or {}).values())
        values = (key, name, method, json.dumps(dict(arguments)), json.dumps(names), size)
        # The files come within the transaction: killed between any two steps, none or all of it is there.
        with self._transaction():
            number = self._connection.execute(insert, values).lastrowid
            shutil.rmtree(self._files / str(number), ignore_errors=True)
            for argument, path in (files or {}).items():
                _keep(path, self._files / str(number) / argument / path.name)

    def first(self) -> Entry | None:
        """The record to be delivered next."""
        query = "SELECT number, search_key, name, method, arguments, files, bytes FROM entries ORDER BY number LIMIT 1"
        with self._lock, self._readable_errors():
            row = self._connection.execute(query).fetchone()
        if row is None:
            return None
        number, key, name, method, arguments, files, size = row
        kept = {argument: self._files / str(number) / argument / file for argument, file in json.loads(files).items()}
        return Entry(number, key, name, method, {**json.loads(arguments), **kept}, size)

    def remove(self, number: int) -> None:
        """Forget a record that was delivered, and its files."""
        with self._lock, self._readable_errors():
            self._connection.execute("DELETE FROM entries WHERE number = ?", (number,))
        shutil.rmtree(self._files / str(number), ignore_errors=True)  # killed here, the next start sweeps

    def count(self) -> int:
        """How many records wait."""
        with self._lock, self._readable_errors():
            count: int = self._connection.execute("SELECT count(*) FROM entries").fetchone()[0]
        return count

    def clear(self) -> int:
        """Forget everything that waits.

        Returns:
            How many records that were.
        """
        with self._transaction():
            count = self._connection.execute("DELETE FROM entries").rowcount
        self._sweep()
        return count

    def claim(self, token: str) -> bool:
        """Note who delivers from now on.

        Returns:
            Whether it was the same one before: if not, what it knows of the server may have changed.
        """
        with self._lock, self._readable_errors():
            held = self._connection.execute("SELECT token FROM holder").fetchall() == [(token,)]
            if not held:
                with self._transaction():
                    self._connection.execute("DELETE FROM holder")
                    self._connection.execute("INSERT INTO holder VALUES (?)", (token,))
        return held

    def close(self) -> None:
        """Close the file; records need no closing to be safe."""
        with self._lock:
            self._connection.close()

    def _sweep(self) -> None:
        # Within a transaction: another process may just be keeping files of a record that is not there yet.
        with self._transaction():
            numbers = {str(number) for (number,) in self._connection.execute("SELECT number FROM entries")}
            for folder in self._files.glob("*"):
                if folder.name not in numbers:
                    shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, self._readable_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise TrackingError(
                f"{self.path}: a record for MLflow cannot be kept ({error}); scores are kept: free the disk or mend"
                " the permissions and run again, or move the file away to go on without what it holds"
            ) from error


def _keep(path: Path, kept: Path) -> None:
    """Keep a file or folder as it is now: artefacts are replaced whole, never written into."""
    if path.is_dir():
        shutil.copytree(path, kept, copy_function=_link)
    else:
        kept.parent.mkdir(parents=True, exist_ok=True)
        _link(path, kept)


def _link(path: str | Path, kept: str | Path) -> None:
    try:
        os.link(path, kept)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(path, kept)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
