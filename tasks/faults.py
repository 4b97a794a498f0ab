"""What can go wrong with MLflow: what passes by itself is told from what somebody has to mend."""

import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from tasks.courier import Unavailable
from tasks.outbox import TrackingError
from tasks.tracking_text import without_password

STATUS = "get_http_status_code"  # what an error of MLflow's own is known by
# What a database server says when it answers and refuses: waiting does not help.
REFUSED = re.compile(
    r"does not exist|authentication failed|no password|no pg_hba|access denied|unknown database", re.IGNORECASE
)
MENDABLE = "scores and records are kept: mend tracking.uri and run again, or drop the records by"


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
        reason = f"MLflow at {uri}: {textwrap.shorten(_innermost(lines[0]), 240, placeholder=' …')}"
        reason = without_password(reason)
        if _passes(error, uri):
            raise Unavailable(reason) from error
        raise TrackingError(f"{reason}; {MENDABLE} `python -m tasks record --drop`") from error


def _is_of_the_store(error: Exception) -> bool:
    kinds = (SQLAlchemyError, requests.RequestException, OSError, ImportError)
    return hasattr(error, STATUS) or isinstance(error, kinds)


def _passes(error: Exception, uri: str) -> bool:
    """Whether the same may work a moment later."""
    cause = error.__cause__ if hasattr(error, STATUS) else error
    if isinstance(cause, SQLAlchemyError):
        return _database_passes(cause, uri)
    if hasattr(error, STATUS):
        return _status_passes(getattr(error, STATUS)())
    if isinstance(error, requests.RequestException):
        return error.response is None or _status_passes(error.response.status_code)
    return isinstance(error, ConnectionError | TimeoutError)


def _database_passes(error: SQLAlchemyError, uri: str) -> bool:
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
