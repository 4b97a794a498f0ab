"""Where in the user's code something happens."""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

import torch

_LIBRARIES = tuple(f"{folder}{os.sep}" for folder in (Path(torch.__file__).parent, Path(__file__).parents[1]))
_NETWORKS = f"{Path(__file__).parents[1] / 'models'}{os.sep}"
"""Networks of this library are what a user might have written."""
_PYTHON = f"{Path(inspect.__file__).parent}{os.sep}"


def user_line(lines: Iterable[tuple[str, int]]) -> str:
    """The first of some lines of code that is neither torch's, Python's nor this library's, as " at file:line"."""
    place = next(((file, line) for file, line in lines if _is_users(file)), None)
    return f" at {place[0]}:{place[1]}" if place else ""


def line_of(frame: FrameType | None) -> str:
    """The user's line that led to a frame, as `user_line`; "" if there is none."""
    return user_line((at.f_code.co_filename, line) for at, line in traceback.walk_stack(frame))


def _is_users(file: str) -> bool:
    if file.startswith(_NETWORKS):
        return True
    if file.startswith(("<", *_LIBRARIES)):
        return False
    # Where there is no virtual environment, packages are installed in Python's own folder.
    return not file.startswith(_PYTHON) or "site-packages" in file
