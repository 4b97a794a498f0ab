"""Reads imports from source files without running them."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere, and every `module.name` of its from-imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def source_of(module: str) -> Path | None:
    """The project's file behind a module name; None for others."""
    path = ROOT / module.replace(".", "/")
    if (path / "__init__.py").is_file():
        return path / "__init__.py"
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else None


def closure(path: Path, *, without: frozenset[Path] = frozenset()) -> set[Path]:
    """A file and every file of the project that it imports, directly or not.

    Packages count where something is imported from them: `from a.b import c` runs a/b/__init__.py for what it holds.
    """
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current not in found and current not in without:
            found.add(current)
            waiting += [source for module in imported(current) if (source := source_of(module))]
    return found
