"""Keys that follow from content: results of unfinished work are found by what they were made from."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

Json = None | bool | int | float | str | list["Json"] | tuple["Json", ...] | Mapping[str, "Json"]


def content_key(parts: Mapping[str, Path | Json]) -> str:
    """One hash over everything that determines a result: what it does not name cannot make a stale one be found.

    A `Path` stands for the content of the file, or of all files below the folder; anything else for itself, as JSON.

    Args:
        parts: Input by name.

    Returns:
        64 hexadecimal digits; independent of the order of the names and of where the files lie.

    Raises:
        OSError: A file cannot be read.
        TypeError: A value has no JSON form.
        ValueError: A number is NaN or infinite.
    """
    content = {name: _content(part) for name, part in parts.items()}
    return hashlib.sha256(_canonical(content)).hexdigest()


def _content(part: Path | Json) -> dict[str, object]:
    if not isinstance(part, Path):
        return {"value": part}
    if not part.is_dir():
        return {"file": _file_digest(part)}
    files = (path for path in part.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {"folder": {path.relative_to(part).as_posix(): _file_digest(path) for path in files}}


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
