"""Walks the stages of dvc.yaml the way `dvc repro` does, with the stage bodies run in this process.

dvc.yaml is the only definition of the stages. `dvc repro` starts each stage's command; a Prefect flow cannot, because
its batches would be no Prefect tasks. So the walk asks DVC whether a stage is up to date, takes DVC's own locks,
restores the stage from DVC's run cache or runs its body, and commits that one stage: whichever door is used, the other
finds everything up to date. This is the one file that uses DVC's internals; DVC is pinned, and the tests of this file
pin the behaviour.
"""

import importlib
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

from dvc.exceptions import DvcException
from dvc.lock import LockError, make_lock
from dvc.repo import Repo
from dvc.repo.reproduce import get_active_graph, plan_repro
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK, rwlock
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.stage import PipelineStage
from dvc.stage.cache import RunCacheNotFoundError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from voluptuous import Invalid

from eagleeye.errors import ConfigError
from tasks.settings import conflict_line

Outcome = Literal["up to date", "restored", "ran"]


@dataclass(frozen=True)
class Changes:
    """Why a stage is not up to date; nothing of it where it is.

    Attributes:
        settings: What is the matter with settings of params.yaml, by dotted key: `modified`, `new`, `deleted`.
        inputs: Likewise with the files that it depends on, by path.
        results: Likewise with the files that it writes.
        command: Whether its command is another.
        never: Whether dvc.lock does not know the stage.
        always: Whether it runs every time, whatever has changed.
        after: The stages that write its inputs.
    """

    settings: Mapping[str, str]
    inputs: Mapping[str, str]
    results: Mapping[str, str]
    command: bool
    never: bool
    always: bool
    after: frozenset[str]


PARAMS = "params.yaml"
# DVC's locks tell processes apart, not threads.
_one_at_a_time = threading.Lock()

# What DVC says of a stage that runs whether or not anything has changed.
ALWAYS = "always changed"

# "Updating lock file" and the like are for those who type dvc commands.
logging.getLogger("dvc").setLevel(logging.WARNING)


def repair(root: Path) -> list[str]:
    """Put aside what a kill has left half-written of DVC's own files, which DVC then refuses to work with.

    DVC writes its table of locks and dvc.lock in place. Without the former nobody holds anything; without the latter
    the stages are restored from the run cache.

    Args:
        root: The folder of dvc.yaml.

    Returns:
        A line for each of them.

    Raises:
        ConfigError: Another process is at work, or git has met a conflict in dvc.lock.
    """
    lines = []
    _refuse_conflict(root / "dvc.lock")
    with _one_at_a_time, _open(root) as repo:
        locks = Path(repo.tmp_dir) / RWLOCK_FILE
        lock_file = root / "dvc.lock"
        with make_lock(str(Path(repo.tmp_dir) / RWLOCK_LOCK), tmp_dir=repo.tmp_dir):
            if locks.is_file() and not _reads(locks, json.loads):
                locks.unlink()
                lines.append("DVC's table of locks was torn by a kill: removed")
        with repo.lock:
            if lock_file.is_file() and not _reads(lock_file, _lock_file):
                lock_file.replace(root / "dvc.lock.torn")
                lines.append("dvc.lock was torn by a kill: now dvc.lock.torn; stages come back from DVC's run cache")
    return lines


def _refuse_conflict(path: Path) -> None:
    if path.is_file() and (line := conflict_line(path.read_text(encoding="utf-8", errors="replace"))):
        raise ConfigError(
            f"{path.name}: line {line}: marks of a merge that met a conflict: take one side, `git checkout --ours"
            f" {path.name}` or `git checkout --theirs {path.name}`, and run again: what it does not hold is redone"
        )


def _reads(path: Path, parse: Callable[[str], object]) -> bool:
    try:
        parse(path.read_text(encoding="utf-8"))
    except (ValueError, YAMLError, Invalid, RecursionError):
        return False
    return True


def _lock_file(text: str) -> None:
    values = COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(text) or {})
    for stage in values.get("stages", {}).values():
        for entry in [*stage.get("deps", []), *stage.get("outs", [])]:
            # The first letters alone: of the word, and of a number in hexadecimal digits, which may look decimal.
            if entry.get("hash", "md5") != "md5" or not isinstance(entry.get("md5", ""), str):
                raise Invalid(f"{entry} is cut off")


def stage_names(root: Path, last: str | None = None) -> list[str]:
    """The stages of dvc.yaml in the order in which they run.

    Args:
        root: The folder of dvc.yaml.
        last: Only this stage and those that it needs; None: all.

    Raises:
        ConfigError: dvc.yaml or params.yaml cannot be read.
    """
    with _open(root) as repo:
        stages = list(repo.stage.collect(last or "dvc.yaml"))
        return [stage.name for stage in plan_repro(get_active_graph(repo.index.graph), stages)]


def module_of(name: str) -> ModuleType:
    """The module in tasks/stages behind a stage: of the same name, for an item of a study that of the item."""
    return importlib.import_module(f"tasks.stages.{name.rpartition('@')[2]}")


def changes_of(root: Path) -> dict[str, Changes]:
    """What has changed since each stage ran last, in the order in which they run.

    Args:
        root: The folder of dvc.yaml.

    Raises:
        ConfigError: dvc.yaml or params.yaml cannot be read, or another process is at work.
    """
    names = stage_names(root)
    with _one_at_a_time, _open(root) as repo:
        stages = {name: repo.stage.load_one(name=name) for name in names}
        writer = {out.fs_path: name for name, stage in stages.items() for out in stage.outs}
        return {name: _reasons(repo, stage, writer) for name, stage in stages.items()}


def _reasons(repo: Repo, stage: PipelineStage, writer: Mapping[str, str]) -> Changes:
    found = repo.status(targets=[stage.name]).get(stage.name, [])
    parts = {key: value for entry in found if isinstance(entry, dict) for key, value in entry.items()}
    inputs = dict(parts.get("changed deps", {}))
    settings = inputs.pop(PARAMS, {})
    return Changes(
        settings if isinstance(settings, dict) else {},
        inputs,
        parts.get("changed outs", {}),
        "changed command" in found or "changed command" in parts,
        not any(entry.hash_info for entry in (*stage.deps, *stage.outs)),
        stage.always_changed,
        frozenset(writer[dep.fs_path] for dep in stage.deps if dep.fs_path in writer),
    )


def current_stages(root: Path) -> list[str]:
    """The stages that are up to date with all that come before them.

    Args:
        root: The folder of dvc.yaml.

    Raises:
        ConfigError: dvc.yaml or params.yaml cannot be read, or another process is at work.
    """
    names = stage_names(root)
    with _one_at_a_time, _open(root) as repo:
        return [name for name in names if not _changes(repo, name, with_deps=True)]


def bring_up_to_date(root: Path, name: str, body: Callable[[], None]) -> Outcome:
    """Bring one stage up to date, its dependencies being so.

    Args:
        root: The folder of dvc.yaml.
        name: The stage.
        body: Does the stage's work; its outputs are gone when it is called.

    Returns:
        What was needed: nothing, DVC's run cache, or the body. A stage that always runs and changes nothing needed
        nothing.

    Raises:
        ConfigError: Another process works on the stage, or DVC cannot read or write what it needs.
    """
    with _one_at_a_time, _open(root) as repo:
        stage = repo.stage.load_one(name=name)
        changes = _changes(repo, name)
        if not changes and not stage.always_changed:
            return "up to date"
        with _held(repo, stage):
            restored = _restore(repo, stage)
            if not restored:
                body()
            repo._reset()
            if not changes and not _changes(repo, name):
                return "up to date"
            # Only this stage: committing everything would also bless outputs that are stale.
            repo.commit(target=name, force=True)
        return "restored" if restored else "ran"


def _changes(repo: Repo, name: str, with_deps: bool = False) -> bool:
    """Whether a stage, or one that it needs, is out of date; that it always runs does not count."""
    found = repo.status(targets=[name], with_deps=with_deps)
    return any(entry != ALWAYS for entries in found.values() for entry in entries)


@contextmanager
def _open(root: Path) -> Iterator[Repo]:
    if not (root / "dvc.yaml").is_file():
        raise ConfigError(f"{root} holds no dvc.yaml: run from the project's folder")
    try:
        with Repo(str(root)) as repo:
            yield repo
    except LockError as error:
        raise ConfigError(f"another run is at work here: {_flat(error)}; wait for it or stop it") from error
    except DvcException as error:
        raise ConfigError(f"DVC: {_flat(error)}") from error
    except OSError as error:
        raise ConfigError(f"DVC: {_flat(error)}: mend the permissions, make room, and run again") from error


@contextmanager
def _held(repo: Repo, stage: PipelineStage) -> Iterator[None]:
    # The same command line as DVC's own decorators use: the same holder may take a lock twice.
    command = " ".join(sys.argv)
    reads = [dep.fs_path for dep in stage.deps]
    writes = [out.fs_path for out in stage.outs]
    hardlinks = repo.config["core"].get("hardlink_lock", False)
    with rwlock(repo.tmp_dir, repo.fs, command, reads, writes, hardlinks):
        yield


def _restore(repo: Repo, stage: PipelineStage) -> bool:
    with repo.lock:
        stage.remove_outs(ignore_remove=False, force=False)
        try:
            repo.stage_cache.restore(stage)
        except RunCacheNotFoundError:
            return False
    return True


def _flat(error: BaseException) -> str:
    causes = [str(error)]
    while error.__cause__ is not None:
        error = error.__cause__
        causes.append(str(error))
    return " ".join(": ".join(cause for cause in causes if cause).split())
