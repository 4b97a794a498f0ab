"""Which library a user's folder works with: named in a file there, on which the pipeline's stages depend."""

import functools
import hashlib
from importlib import import_module
from pathlib import Path

from eagleeye.errors import ConfigError

LOCK = Path("eagleeye.lock")
_MEANS = """\
# The library that this folder works with, by its version and the content of its files: the stages depend on it, and
# refuse to run with another. `eagleeye init --update` puts the installed one here.
"""


def stamp() -> str:
    """What the file says of the library that is installed; below it, `placed.py` lists the pipeline's files."""
    version = import_module("eagleeye").__version__
    return f"{_MEANS}version: {version}\nsources: {fingerprint()}\n"


@functools.cache
def fingerprint() -> str:
    """SHA-256 of the library's files, whatever folder they lie in."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(path for kind in ("*.py", "*.html") for path in root.rglob(kind)):
        name = path.relative_to(root).as_posix()
        # The pipeline's files, which a wheel carries: the folder has its own.
        if not name.startswith("project/files/"):
            digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def require_same(folder: Path) -> None:
    """Refuse to work in a folder with another library than the one it names; a clone, which holds its own, names none.

    Args:
        folder: The project's folder.

    Raises:
        ConfigError: The library is another.
    """
    if line := difference(folder):
        raise ConfigError(line)


def difference(folder: Path) -> str | None:
    """What is to be said where the installed library is another than the folder's.

    Args:
        folder: The project's folder.
    """
    path = folder / LOCK
    if not path.is_file():
        return None
    told = path.read_text(encoding="utf-8")
    if all(_fact(told, name) == _fact(stamp(), name) for name in ("version", "sources")):
        return None
    here = _fact(told, "version")
    installed = _fact(stamp(), "version")
    edited = " with other files" if here == installed else ""
    return (
        f"{LOCK} names eagleeye {here}, but {installed}{edited} is installed: `eagleeye init --update` makes the folder"
        " work with it (stages that depend on it run again), or install the former"
    )


def _fact(text: str, name: str) -> str:
    lines = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for key, _, value in lines if key == name), "?")
