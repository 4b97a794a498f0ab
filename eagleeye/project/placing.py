"""Puts the pipeline into a folder of a git repository, without touching anything of the user's."""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eagleeye.errors import ConfigError
from eagleeye.files import written_whole
from eagleeye.project.carried import files, source
from eagleeye.project.library import LOCK, stamp
from eagleeye.project.placed import digest_of, listed, listing, remove

MAKEFILE = Path("Makefile")
_INCLUDED = "include pipeline.mk\n"
_MERGED = (".gitignore", ".dvcignore")
"""Lists, of which the user may have some lines and others."""
_DVC = ".dvc/"
_USERS = ("params.yaml", "own/", "checkpoints/", "constraints.txt")
"""What is the user's to change once it is there."""
_NAMES = ("tasks", "flows", "eagleeye")
"""Modules that the folder's Python would find before the pipeline's or the library's."""
_LIBRARY = re.compile(r"- eagleeye(/\w+)*")
_SHOWN = 5


@dataclass(frozen=True)
class Renewed:
    """What another pipeline in the place of the former one has changed, by path.

    Attributes:
        written: Files that were written or added to.
        removed: Files that only the former one had.
        kept: Those of them that are still there, because they were edited.
    """

    written: list[str]
    removed: list[str]
    kept: list[str]


def put(folder: Path) -> list[str]:
    """Put the pipeline's files into a folder.

    Args:
        folder: In a git repository; made where it is missing.

    Returns:
        The files that were written or added to.

    Raises:
        ConfigError: It is in no git repository, has the pipeline, or has files or modules of these names.
        ArtifactError: A file cannot be written.
    """
    _require_place(folder)
    if (folder / LOCK).exists():
        raise ConfigError(
            f"{_shown(folder)} has the pipeline already: `eagleeye init --update` renews its code and leaves"
            " params.yaml and own/ as they are"
        )
    wanted = _wanted(folder)
    differing = [name for name, text in wanted.items() if name not in _MERGED and _differs(folder / name, text)]
    if differing:
        raise ConfigError(
            f"{_shown(folder)} has other files of these names: {_listed(differing)}; move them away, or put the"
            " pipeline into a folder of its own: `eagleeye init pruning`"
        )
    return _write(folder, wanted | _lock(wanted, {}))


def renew(folder: Path) -> Renewed:
    """Put the installed pipeline in the place of the one that is there, but for what is the user's.

    Files that only the former pipeline had are removed, where `eagleeye.lock` lists them and nobody has edited them.

    Args:
        folder: One that has the pipeline.

    Returns:
        What was done.

    Raises:
        ConfigError: The folder has no pipeline, or what would be overwritten is in no commit.
        ArtifactError: A file cannot be written.
    """
    _require_place(folder)
    if not (folder / LOCK).is_file():
        raise ConfigError(f"{_shown(folder)} has no pipeline: `eagleeye init` puts it there")
    wanted = {
        name: text
        for name, text in _wanted(folder).items()
        if not (name.startswith(_USERS) and (folder / name).exists())
    }
    lost = [name for name in _uncommitted(folder) if name in wanted and _differs(folder / name, wanted[name])]
    if lost:
        raise ConfigError(f"{_listed(lost)}: changes that are in no commit would be lost; commit them first")
    now = files(source())
    before = listed((folder / LOCK).read_text(encoding="utf-8"))
    written = _write(folder, wanted)
    removed, kept = remove(folder, {name: digest for name, digest in before.items() if name not in now})
    # Last, so that a renewal that was cut short still knows what to remove.
    still = {name: digest for name, digest in before.items() if name in now}
    return Renewed([*written, *_write(folder, _lock(wanted, still))], removed, kept)


def _require_place(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: name a folder of a git repository")
    if not any((above / ".git").exists() for above in (folder.resolve(), *folder.resolve().parents)):
        raise ConfigError(
            f"{_shown(folder)} is in no git repository: run `git init` there first, so that what ran can be told later"
        )
    if (folder / "eagleeye" / "project" / "placing.py").is_file():
        raise ConfigError(f"{_shown(folder)} is a clone of EagleEye, which has the pipeline: run `dvc repro` there")
    if own := [name for name in _NAMES if _is_foreign(folder, name)]:
        raise ConfigError(
            f"{_shown(folder)} has a Python module of its own named {' and '.join(own)}: the pipeline's modules are"
            " tasks and flows, the library's eagleeye; put the pipeline into a folder of its own:"
            " `eagleeye init pruning`"
        )


def _is_foreign(folder: Path, name: str) -> bool:
    """Whether a module is somebody else's: it has files, and none that only the pipeline's has."""
    if (folder / f"{name}.py").exists():
        return True
    common = {f"{name}/__init__.py", f"{name}/__main__.py"}
    ours = any((folder / file).is_file() for file in set(files(source())) - common if file.startswith(f"{name}/"))
    return not ours and any((folder / name).glob("**/*.py"))


def _wanted(folder: Path) -> dict[str, str]:
    """What belongs into the folder, by path; of what may be the user's own only what is missing."""
    root = source()
    names = files(root)
    if "dvc.yaml" not in names or "tasks/__main__.py" not in names:
        raise ConfigError("this installation of eagleeye carries no pipeline: install its wheel, or `pip install -e .`")
    if (folder / _DVC).exists():  # DVC is set up there
        names = [name for name in names if not name.startswith(_DVC)]
    wanted = {name: (root / name).read_text(encoding="utf-8") for name in names}
    wanted["dvc.yaml"] = by_lock(wanted["dvc.yaml"])
    if not (folder / MAKEFILE).exists():
        wanted[MAKEFILE.as_posix()] = _INCLUDED
    return wanted


def _lock(wanted: dict[str, str], still: dict[str, str]) -> dict[str, str]:
    """The file that names the library and lists what is the pipeline's alone, what is still there included."""
    shared = (*_USERS, *_MERGED, MAKEFILE.as_posix())
    placed = {name: digest_of(text) for name, text in wanted.items() if not name.startswith(shared)}
    return {LOCK.as_posix(): stamp() + listing(still | placed)}


def by_lock(stages: str) -> str:
    """The stages of dvc.yaml for a folder that does not hold the library: they depend on the file that names it.

    Args:
        stages: The text of dvc.yaml.

    Returns:
        The same with `eagleeye.lock`, once for each stage, in the place of the library's folders.
    """
    lines: list[str] = []
    named = False
    for line in stages.splitlines():
        if _LIBRARY.fullmatch(line.strip()):
            if not named:
                lines.append(line.replace(line.strip(), f"- {LOCK}"))
            named = True
            continue
        named = named and line.strip().startswith("- ")
        lines.append(line)
    return "\n".join(lines) + "\n"


def _write(folder: Path, wanted: dict[str, str]) -> list[str]:
    written = []
    for name, text in wanted.items():
        path = folder / name
        whole = _merged(path, text) if name in _MERGED else text
        if not path.is_file() or path.read_text(encoding="utf-8") != whole:
            with written_whole(path) as beside:
                beside.write_text(whole, encoding="utf-8")
            written.append(name)
    return written


def _merged(path: Path, text: str) -> str:
    if not path.is_file():
        return text
    there = path.read_text(encoding="utf-8")
    missing = [line for line in text.splitlines() if not line.startswith("#") and line not in there.splitlines()]
    return there.rstrip("\n") + "\n\n# EagleEye's pipeline\n" + "\n".join(missing) + "\n" if missing else there


def _differs(path: Path, text: str) -> bool:
    if not path.exists():
        return False
    return not path.is_file() or path.read_bytes() != text.encode()


def _uncommitted(folder: Path) -> list[str]:
    """The pipeline's files that git has in no commit as they are."""
    command = ["git", "status", "--porcelain", "--untracked-files=all", "--no-renames", "-z", "--", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ConfigError(f"git: {' '.join(done.stderr.split())}")
    top = subprocess.run(
        ["git", "rev-parse", "--show-prefix"],  # noqa: S607
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    changed = {entry[3:].removeprefix(top) for entry in done.stdout.split("\0") if entry}
    return [name for name in files(source()) if name in changed and not name.startswith(_USERS) and name not in _MERGED]


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return f"{', '.join(listed[:_SHOWN])}{more}"


def _shown(folder: Path) -> str:
    return "this folder" if folder == Path() else str(folder)
