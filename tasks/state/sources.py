"""The source files behind a result, found by imports: an edit of one of them leaves results on record behind."""

import ast
import functools
import importlib.util
import sysconfig
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""Holds the package `eagleeye`, in a clone and where the wheel is installed."""
_INSTALLED = Path(sysconfig.get_path("purelib"))


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
    """The user's own files behind functions that settings name.

    Args:
        references: Values of settings; those that are no `package.module:function` have no files.

    Returns:
        Every Python file of the packages and modules that lie in no folder of installed packages, by name.
    """
    tops = {reference.split(":")[0].split(".")[0] for reference in references if ":" in reference}
    return {name: path for top in sorted(tops) for name, path in _files_of(top)}


def _files_of(top: str) -> Iterator[tuple[str, Path]]:
    spec = importlib.util.find_spec(top)
    # What names nothing is refused by whoever calls it.
    if spec is None or (spec.origin and Path(spec.origin).is_relative_to(_INSTALLED)):
        return
    if spec.submodule_search_locations is None:
        yield top, Path(spec.origin or "")
        return
    for folder in map(Path, spec.submodule_search_locations):
        yield from ((f"{top}/{path.relative_to(folder).as_posix()}", path) for path in sorted(folder.rglob("*.py")))
