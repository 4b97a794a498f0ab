"""What can go wrong with MLflow: what passes by itself is told from what somebody has to mend."""

import os
import re
import sqlite3
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from eagleeye.errors import EagleEyeError
from tasks.passwords import without_password

STATUS = "get_http_status_code"  # what an error of MLflow's own is known by
# What a database server says when it answers and refuses: waiting does not help.
REFUSED = re.compile(
    r"does not exist|authentication failed|no password|no pg_hba|access denied|unknown database", re.IGNORECASE
)
KEPT = "scores and finished work are kept"
WAYS_OUT = (
    # What the system or SQLite says, and what helps.
    (
        r"disk is full|No space left|quota exceeded|File too large",
        "free some space (the temporary folder counts, too) and run again",
    ),
    (
        r"not a database|malformed|no such (table|column)",
        "the file is damaged: restore it from a backup, or move it away and run `python -m tasks record`,"
        " which records anew what is in artifacts/",
    ),
    ("disk I/O error", "see whether the disk is full or faulty, and run again"),
    (
        r"readonly|read-only|Read-only|Permission denied|unable to open|Is a directory|Not a directory|File exists",
        "mend what is in its place or the permissions, or tracking.uri, and run again",
    ),
)
MEND = "mend tracking.uri and run again"


class TrackingError(EagleEyeError):
    """MLflow refuses what is to be recorded."""


class Unavailable(Exception):  # noqa: N818 - no error: it passes
    """MLflow does not answer now, and may answer later."""


@contextmanager
def told_apart(uri: str) -> Iterator[None]:
    """Tell what passes by itself from what somebody has to mend, each in one line.

    Args:
        uri: The store's, for the message, in which no password shows.

    Raises:
        Unavailable: The store does not answer, or answers that it cannot at the moment.
        TrackingError: The store refuses.
    """
    try:
        yield
    except Exception as error:
        if not _is_of_the_store(error):
            raise
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        # Before it is cut: half a password looks like none.
        said = without_password(_innermost(lines[0]), uri)
        reason = f"MLflow at {without_password(uri)}: {textwrap.shorten(said, 240, placeholder=' …')}"
        way_out = _way_out(error)
        # MLflow calls a full disk, too, an error of its server's.
        if way_out is None and _passes(error, uri):
            raise Unavailable(reason) from error
        raise TrackingError(f"{reason}; {KEPT}: {way_out or MEND}") from error


def _way_out(error: Exception) -> str | None:
    """What helps, by what the store's file or the disk under it says; a server's words are another matter."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError | sqlite3.Error) and not isinstance(cause, requests.RequestException):
            said = os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else str(cause)
            for pattern, way_out in WAYS_OUT:
                if re.search(pattern, said):
                    return way_out
        cause = cause.__cause__ or (cause.orig if isinstance(cause, DBAPIError) else None)
    return None


def _is_of_the_store(error: Exception) -> bool:
    kinds = (SQLAlchemyError, sqlite3.Error, requests.RequestException, OSError, ImportError)
    return hasattr(error, STATUS) or isinstance(error, kinds)


def _passes(error: Exception, uri: str) -> bool:
    """Whether the same may work a moment later."""
    cause = error.__cause__ if hasattr(error, STATUS) else error
    if isinstance(cause, SQLAlchemyError | sqlite3.Error):
        return _database_passes(cause, uri)
    if hasattr(error, STATUS):
        return _status_passes(getattr(error, STATUS)())
    if isinstance(error, requests.RequestException):
        return error.response is None or _status_passes(error.response.status_code)
    return isinstance(error, ConnectionError | TimeoutError)


def _database_passes(error: SQLAlchemyError | sqlite3.Error, uri: str) -> bool:
    if uri.startswith("sqlite"):
        return "locked" in str(error)
    if isinstance(error, OperationalError):
        return not REFUSED.search(str(error))
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _status_passes(status: int) -> bool:
    return status >= 500 or status in (408, 429)


def _innermost(message: str) -> str:
    """What a chain of HTTP libraries says happened, without how often they say it."""
    caused = re.search(r"Caused by \w+\((.*)\)\)", message)
    return caused[1].strip("'\"").rpartition(": ")[2] if caused else message
