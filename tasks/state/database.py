"""A SQLite file that several threads and processes write to at once."""

import sqlite3
import time
from pathlib import Path
from typing import Literal

WAIT_SECONDS = 60.0
"""How long a statement waits for another process to finish writing."""


def open_database(path: Path, synchronous: Literal["NORMAL", "FULL"]) -> sqlite3.Connection:
    """Open or create a database with a write-ahead log; transactions are the caller's.

    Args:
        path: The file; its folder is there.
        synchronous: FULL: a commit survives a power cut; NORMAL: the end of the process.

    Returns:
        The connection, which any thread may use, one at a time.

    Raises:
        sqlite3.Error: The file cannot be opened, or is no database.
    """
    connection = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
    _switch_to_wal(connection)
    connection.execute(f"PRAGMA synchronous={synchronous}")
    return connection


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    # The switch asks for the file alone and, unlike a transaction, does not wait for its turn.
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
