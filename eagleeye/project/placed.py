"""The files that an installation has placed in a folder, by content: `eagleeye.lock` tells the next what to tidy up."""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

_HEAD = """\
# The pipeline's files as they were put here, by content (SHA-256). `eagleeye init --update` removes those that the
# pipeline no longer has, unless they were edited.
files:
"""
_INDENT = "  "


def listing(digests: Mapping[str, str]) -> str:
    """What the lock says of the files.

    Args:
        digests: Content by path.
    """
    return _HEAD + "".join(f"{_INDENT}{name}: {digest}\n" for name, digest in sorted(digests.items()))


def listed(lock: str) -> dict[str, str]:
    """Content by path, as a lock says; nothing where it was written by a version that listed no files.

    Args:
        lock: Its text.
    """
    _, _, lines = lock.partition("\nfiles:\n")
    pairs = (line.strip().rpartition(": ") for line in lines.splitlines() if line.startswith(_INDENT))
    return {name: digest for name, _, digest in pairs if _is_inside(name)}


def digest_of(text: str) -> str:
    """SHA-256 of a file's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def remove(folder: Path, gone: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Remove files that are as they were placed, and the folders that are empty then.

    Args:
        folder: The project's folder.
        gone: Content by path of what the pipeline no longer has.

    Returns:
        The files that were removed, and those that are kept because they were edited.
    """
    there = [name for name in sorted(gone) if (folder / name).is_file()]
    same = [name for name in there if hashlib.sha256((folder / name).read_bytes()).hexdigest() == gone[name]]
    for name in same:
        (folder / name).unlink()
    _remove_empty(folder, same)
    return same, [name for name in there if name not in same]


def _remove_empty(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        for above in PurePosixPath(name).parents[:-1]:
            with suppress(OSError):  # something else is in it
                (folder / above).rmdir()


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts
