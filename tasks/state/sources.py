"""The source files behind a result, found by imports: an edit of one of them leaves results on record behind."""

import ast
import functools
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

_LIBRARY = importlib.util.find_spec("eagleeye")
assert _LIBRARY is not None and _LIBRARY.origin is not None
ROOT = Path(_LIBRARY.origin).parents[1]
"""Holds the package `eagleeye`, in a clone and where the wheel is installed."""
_INSTALLED = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib", "platstdlib")]
# Python's own, and the project's, which has dependencies of its own.
_NOT_FOLLOWED = {*sys.stdlib_module_names, "eagleeye", "tasks", "flows"}


@functools.cache
def sources_of(*modules: str) -> dict[str, Path]:
    """The library's modules that some of its modules are made of.

    Packages on the way count where they are imported themselves: the library's root gathers names for users alone.

    Args:
        modules: Names of modules or packages of the library.

    Returns:
        Files by module name, those of `modules` and of everything of the library that they import, in their order.
    """
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found and (path := _file_of(module)):
            found[module] = path
            waiting += _imported(path)
    return dict(sorted(found.items()))


def _file_of(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((file for file in candidates if file.is_file()), None)


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("eagleeye."))
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "eagleeye":
            # `from eagleeye.channels import trace` may name a module or what one holds.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            if node.module != "eagleeye":
                yield node.module


def own_sources(*references: str) -> dict[str, Path]:
    """The user's own files behind functions that settings name, and behind what these import.

    Args:
        references: Values of settings; those that are no `package.module:function` have no files.

    Returns:
        Every Python file of the packages and modules that lie in no folder of installed packages, by name.
    """
    return dict(_own_sources(frozenset(reference.split(".")[0] for reference in _modules(references))))


def _modules(references: Iterable[str]) -> Iterator[str]:
    return (reference.split(":")[0] for reference in references if ":" in reference)


@functools.cache
def _own_sources(tops: frozenset[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    waiting = sorted(tops)
    seen = set(_NOT_FOLLOWED)
    while waiting:
        top = waiting.pop()
        files = dict(_files_of(top))
        found |= files
        seen.add(top)
        waiting += sorted({name for path in files.values() for name in _tops(path)} - seen - set(waiting))
    return dict(sorted(found.items()))


def _files_of(top: str) -> Iterator[tuple[str, Path]]:
    spec = importlib.util.find_spec(top)
    # What names nothing is refused by whoever calls it.
    if spec is None or (spec.origin and not _is_own(Path(spec.origin))):
        return
    if spec.submodule_search_locations is None:
        # What is built into Python has no file.
        yield from ((top, path) for path in [Path(spec.origin or "")] if path.is_file())
        return
    for folder in filter(_is_own, map(Path, spec.submodule_search_locations)):
        yield from ((f"{top}/{path.relative_to(folder).as_posix()}", path) for path in sorted(folder.rglob("*.py")))


def _is_own(path: Path) -> bool:
    return not any(path.is_relative_to(folder) for folder in _INSTALLED)


def _tops(path: Path) -> set[str]:
    """The packages that a file imports, but for its own."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    # Whoever imports it says so; it may be a file that nobody imports.
    except (SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names
