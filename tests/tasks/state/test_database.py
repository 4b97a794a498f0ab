import sqlite3
from pathlib import Path

import pytest

from tasks.state.database import open_database


@pytest.mark.parametrize(("synchronous", "number"), [("NORMAL", 1), ("FULL", 2)])
def test_a_database_has_a_write_ahead_log_and_the_safety_that_was_asked_for(
    tmp_path: Path, synchronous: str, number: int
) -> None:
    connection = open_database(tmp_path / "some.sqlite", synchronous)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (number,)


def test_what_is_no_database_is_an_error_of_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "some.sqlite"
    path.write_text("no database, but long enough to have had a header of one " * 4)
    with pytest.raises(sqlite3.DatabaseError):
        open_database(path, "FULL")
