"""The MLflow store that is a file of the project: it comes to be whole or not at all, and it moves with the project.

MLflow makes such a file by hundreds of statements, each on disk at once. Ended in between, it leaves a file that it can
neither use nor complete. And it keeps whole paths: of a copied project, they lead into the original's folder.
"""

import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from filelock import FileLock
from sqlalchemy.engine import make_url

from eagleeye.files import written_whole
from tasks.run.aside import project_folder

FOLDER = "eagleeye.folder"
"""Tag of an experiment: the project's folder, which the whole paths in MLflow's tables begin with."""
FILES = Path("mlruns")
"""Where MLflow puts the files of a store that is a file, in the project's folder."""
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow's tables have whole paths."""
PATIENCE = 60.0  # seconds for another process to finish writing
QUIET = 5.0  # seconds without a write after which nobody is making a file any more


def file_of(uri: str) -> Path | None:
    """The file that a tracking URI names, with its whole path; None where it names something else.

    An experiment that DVC runs aside is recorded in the project's store, not in one that vanishes with its folder.
    """
    if not re.match(r"sqlite(\+\w+)?:", uri):
        return None
    name = make_url(uri).database
    return None if not name or name == ":memory:" or name.startswith("file:") else project_folder() / name


def is_own(path: Path) -> bool:
    """Whether a store's file lies in the project's folder."""
    return path.resolve().is_relative_to(project_folder())


def make_whole(path: Path, make: Callable[[Path], None]) -> None:
    """Make a store where there is none, or one that somebody began to make and that holds nothing.

    Args:
        path: Its file.
        make: Makes a store in a file that is not there yet.

    Raises:
        ArtifactError: It cannot be written.
        sqlite3.Error: The file that is there cannot be read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not _is_missing(path):
        return
    # Of two processes that find nothing, the second must not replace what the first has made and begun to fill.
    with FileLock(path.with_name(f"{path.name}.lock"), timeout=PATIENCE):
        if not _is_missing(path):
            return
        # Elsewhere, because SQLite's journals would stay beside it where we are killed.
        with tempfile.TemporaryDirectory(prefix="eagleeye-") as folder:
            made = Path(folder) / path.name
            make(made)
            with written_whole(path) as beside:
                shutil.copyfile(made, beside)
                _take_off(path)


def follow(path: Path) -> None:
    """Let the paths in an own store lead into the folder that the project is in now, where it was copied or moved.

    Args:
        path: Its file.

    Raises:
        sqlite3.Error: It cannot be read or written.
    """
    here = project_folder()
    with closing(sqlite3.connect(path, timeout=PATIENCE)) as store:
        for former in _former_folders(store, path, here):
            with store:
                _rewrite(store, former, here)


def _is_missing(path: Path) -> bool:
    """Whether there is no store yet, or one that was begun and left."""
    deadline = time.monotonic() + PATIENCE
    while _is_begun(path):
        if time.time() - _last_written(path) > QUIET or time.monotonic() > deadline:
            return True
        time.sleep(QUIET / 20)  # somebody else, for instance MLflow's own server, is making it
    return not path.exists()


def _is_begun(path: Path) -> bool:
    """Whether a file is a store of MLflow's that lacks the experiment which MLflow makes last, and holds nothing."""
    if not path.is_file():
        return False
    if not path.stat().st_size:
        return True
    with closing(sqlite3.connect(path, timeout=PATIENCE)) as store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        if not tables:
            return True
        filled = {name for name in tables if store.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()}  # noqa: S608
    # Its own notes are no content: the version of its tables, and a workspace.
    return "experiments" in tables and not filled - {"alembic_version", "workspaces"}


def _last_written(path: Path) -> float:
    files = [path, *(path.with_name(path.name + ending) for ending in ("-journal", "-wal"))]
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)


def _take_off(path: Path) -> None:
    """Remove a store that was begun; its journal first, which SQLite would take for that of the next file."""
    for ending in ("-journal", "-wal", "-shm", ""):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _former_folders(store: sqlite3.Connection, path: Path, here: Path) -> list[Path]:
    known = "SELECT DISTINCT value FROM experiment_tags WHERE key = ?"
    found = {Path(value) for (value,) in store.execute(known, (FOLDER,))}
    untold = (
        "SELECT experiment_id, artifact_location FROM experiments WHERE experiment_id NOT IN"
        " (SELECT experiment_id FROM experiment_tags WHERE key = ?)"
    )
    for number, location in store.execute(untold, (FOLDER,)):
        root = Path((location or "").removeprefix("file://"))
        if root.parts[-2:] != (FILES.name, str(number)):
            continue
        former = root.parents[1]
        # Somebody may have wanted the files elsewhere: the folder's own copy of them, or of the store, tells.
        if (here / FILES / str(number)).is_dir() or (former / path.relative_to(here)).is_file():
            found.add(former)
    return sorted(found - {here})


def _rewrite(store: sqlite3.Connection, former: Path, here: Path) -> None:
    for table, column in PLACES:
        for old, new in ((str(former), str(here)), (former.as_uri(), here.as_uri())):
            change = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"  # noqa: S608
            store.execute(change, (f"{new}/", len(old) + 2, len(old) + 1, f"{old}/"))
    store.execute("UPDATE experiment_tags SET value = ? WHERE key = ? AND value = ?", (str(here), FOLDER, str(former)))
