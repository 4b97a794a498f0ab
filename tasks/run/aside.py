"""Experiments that DVC runs aside (`dvc exp run --temp`, `--queue`): in a folder that has what git carries, no more.

Such a folder lies in the project's own `.dvc/tmp/exps`. Data, weights and MLflow's store are the project's; the first
two are linked into the folder, under the names that the settings have for them.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from eagleeye.errors import ConfigError
from tasks.artifacts import DIGESTS
from tasks.params import Params

EXPERIMENTS = (".dvc", "tmp", "exps")


def project_folder() -> Path:
    """The project's folder: the working directory, or in an experiment aside the one that it came from."""
    here = Path.cwd()
    return next((place.parents[2] for place in here.parents if place.parts[-3:] == EXPERIMENTS), here)


def link_what_git_leaves_out(params: Params) -> None:
    """Have what an experiment aside reads where its settings look for it; elsewhere nothing is done.

    What is known of the files' contents comes along, so that they need not be read anew.

    Args:
        params: The settings.

    Raises:
        ConfigError: A path leads out of the project's folder, or the system makes no links.
    """
    home = project_folder()
    here = Path.cwd()
    if home == here:
        return
    for name in _paths(params):
        _link(Path(name), home, here)
    if (home / DIGESTS).is_file() and not DIGESTS.exists():
        _copy(home / DIGESTS, DIGESTS)


def _paths(params: Params) -> Iterator[str]:
    """All that may be a path, of the settings that know paths."""
    values: list[object] = [params.model.checkpoint, *params.model.options.values(), *params.data.options.values()]
    for value in values:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and text:
                yield text


def _link(path: Path, home: Path, here: Path) -> None:
    """Link the first part of a path that is in one folder and not in the other."""
    if path.is_absolute():
        return
    if ".." in path.parts:
        if not (home / path).exists():
            return
        raise ConfigError(
            f"{path} leads out of the project's folder, and an experiment aside has another one: write"
            f" {(home / path).resolve()}"
        )
    place = Path()
    for part in path.parts:
        whole = home / place / part
        # Of a pattern, whatever it matches.
        for found in [whole] if whole.exists() else sorted((home / place).glob(part)):
            beside = here / found.relative_to(home)
            if not beside.exists():
                _make(beside, found, found.relative_to(home).as_posix())
        place /= part
        if not (here / place).is_dir():
            return


def _make(link: Path, target: Path, name: str) -> None:
    try:
        link.symlink_to(target, target.is_dir())
    except OSError as error:
        raise ConfigError(
            f"{name} cannot be linked into the experiment's folder ({error.strerror}): have it copied, `dvc exp run"
            f" --copy-paths {name} …`"
        ) from error


def _copy(database: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    # By SQLite, as somebody may be writing to it. Without the copy, files are read.
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(database)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
