"""The pictures below a folder, in the order of torchvision's ImageFolder, without what only lies around there."""

import os
import stat
from collections import Counter
from pathlib import Path

from eagleeye.errors import DataError

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# What archives made on a Mac leave beside the folders that they hold.
_LEFTOVERS = "__MACOSX"
_FOLDER = tuple[str, frozenset[tuple[int, int]]]


def class_names(folder: Path) -> list[str]:
    """Names of the sub-folders, in alphabetical order; those that begin with a dot are none.

    Raises:
        DataError: The folder cannot be read.
    """
    return sorted(entry.name for entry in _entries(str(folder)) if _is_folder(entry))


def pictures_below(root: Path, name: str, endings: tuple[str, ...]) -> tuple[list[str], Counter[str]]:
    """All pictures of a class, also those in folders inside of its folder.

    Args:
        root: The folder of all classes.
        name: The class.
        endings: What a picture's name may end in, in small letters.

    Returns:
        The files, in torchvision's order, and how many others were passed over, by their ending. Hidden files and
        folders are as if they were not there.

    Raises:
        DataError: A folder cannot be read, is a link to one that holds it, or a picture is no file.
    """
    found: list[tuple[str, list[str]]] = []
    skipped: Counter[str] = Counter()
    waiting: list[_FOLDER] = [(os.path.join(root, name), frozenset([_identity(str(root))]))]  # noqa: PTH118
    while waiting:
        folder, above = waiting.pop()
        own = _identity(folder)
        if own in above:
            raise DataError(
                f"{folder} is a link to a folder that holds it: remove it, its pictures are counted already"
            )
        files = []
        for entry in _entries(folder):
            if _is_folder(entry):
                waiting.append((entry.path, above | {own}))
            elif entry.name.lower().endswith(endings):
                _require_file(entry)
                files.append(entry.path)
            else:
                skipped[Path(entry.name).suffix.lower() or "none"] += 1
        found.append((folder, sorted(files)))
    return [file for _, files in sorted(found) for file in files], skipped


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".") and entry.name != _LEFTOVERS]
    except OSError as cause:
        raise DataError(f"{folder} cannot be read: {cause.strerror}") from cause


def _identity(folder: str) -> tuple[int, int]:
    try:
        found = os.stat(folder)  # noqa: PTH116
    except OSError as cause:
        raise DataError(f"{folder} cannot be read: {cause.strerror}") from cause
    return found.st_dev, found.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as cause:
        raise DataError(f"{entry.path} cannot be read: {cause.strerror}; remove it") from cause


def _require_file(entry: os.DirEntry[str]) -> None:
    # Most are told by the folder alone, without a look at each of a million files.
    if entry.is_file():
        return
    try:
        kind = _KINDS.get(stat.S_IFMT(entry.stat().st_mode), "no file")
    except OSError:
        raise DataError(
            f"{entry.path} is a link to a file that is missing: bring it back, or remove the link"
        ) from None
    raise DataError(f"{entry.path} is {kind} instead of a picture: remove it")
