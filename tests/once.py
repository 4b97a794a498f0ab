"""What several tests need, made once for all processes that share a run of the tests."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from filelock import FileLock

Made = TypeVar("Made")


def once(temporary: pytest.TempPathFactory, name: str, make: Callable[[Path], Made]) -> Made:
    """What `make` returns for a new folder of that name: by the first process that asks, the others wait for it."""
    root = temporary.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, result = root / name, root / f"{name}.pickle"
    with FileLock(root / f"{name}.lock"):
        if not result.is_file():
            shutil.rmtree(folder, ignore_errors=True)  # of one that failed
            folder.mkdir()
            result.write_bytes(pickle.dumps(make(folder)))
    made: Made = pickle.loads(result.read_bytes())  # noqa: S301 - our own
    return made
