"""A folder beside the project in which parts of its stages are tried: whatever they write goes with it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What stages write, or what others must not find there; the rest is linked, so that paths in the settings lead on.
_LEFT_OUT = (".dvc", ".eagleeye", ".git", ".prefect", "artifacts", "dvc.lock", "metrics.json", "mlartifacts", "mlruns")


@contextmanager
def beside(project: Path) -> Iterator[None]:
    """Work in a temporary folder that has the project's files but none of its results.

    Args:
        project: The project's folder.
    """
    with tempfile.TemporaryDirectory(prefix="eagleeye-check-") as name:
        for path in project.iterdir():
            if path.name not in _LEFT_OUT and not path.name.startswith("mlflow.db"):
                Path(name, path.name).symlink_to(path.resolve(), target_is_directory=path.is_dir())
        os.chdir(name)
        try:
            yield
        finally:
            os.chdir(project)
