"""Digests of the user's files by their content, which is read again only where the file system says it changed."""

import hashlib
import sqlite3
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from eagleeye.errors import ArtifactError, DataError
from tasks.state.database import open_database

SCHEMA = "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, digest TEXT NOT NULL)"
# A file that is changed twice within a tick of the file system's clock keeps its times: the young are not remembered.
YOUNG = 2.0  # seconds


class Digests:
    """Digests on record by path, size, times and inode.

    What they say depends on contents alone: a copy elsewhere has the same, whatever its times.
    """

    def __init__(self, path: Path) -> None:
        """Open the record, creating it and its folder where missing.

        Args:
            path: The SQLite file.

        Raises:
            ArtifactError: It is damaged.
        """
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = open_database(path, synchronous="NORMAL")
            self._connection.execute(SCHEMA)
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise ArtifactError(f"{path} is damaged ({error}): delete it, files are then read anew") from error

    def __enter__(self) -> Self:
        """Use the record."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Keep what was found, whatever ended the block."""
        self._connection.execute("COMMIT")
        self._connection.close()

    def of(self, path: Path) -> str:
        """The digest of a file.

        Args:
            path: The file.

        Returns:
            SHA-256 of its content, 64 hexadecimal digits.

        Raises:
            DataError: It cannot be read.
        """
        # As it is called where it lies: experiments aside have links to it.
        name = str(path.resolve())
        stamp = _stamp(path)
        row = self._connection.execute(
            "SELECT digest FROM files WHERE path = ? AND stamp = ?", (name, stamp)
        ).fetchone()
        if row:
            return str(row[0])
        begun = time.time()
        digest = _read(path)
        if stamp == _stamp(path) and begun - max(path.stat().st_mtime, path.stat().st_ctime) > YOUNG:
            self._connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (name, stamp, digest))
        return digest


def _stamp(path: Path) -> str:
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
