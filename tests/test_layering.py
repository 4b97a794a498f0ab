"""flows → tasks → eagleeye: imports run in one direction, and orchestration stays out of the library."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.imports import ROOT, imported

ABOVE = {"eagleeye": {"tasks", "flows"}, "tasks": {"flows"}, "flows": set()}
ORCHESTRATION = {"prefect", "mlflow", "dvc", "pydantic", "rich"}
SOURCES = [path for layer in ABOVE for path in sorted((ROOT / layer).rglob("*.py"))]


def packages(path: Path) -> set[str]:
    return {module.split(".")[0] for module in imported(path)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_never_run_upwards(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    assert not packages(path) & (ABOVE[layer] | {"tests", "benchmarks"})


def test_the_library_knows_no_orchestration() -> None:
    found = {path: packages(path) & ORCHESTRATION for path in SOURCES if path.is_relative_to(ROOT / "eagleeye")}
    assert len(found) > 20
    assert not any(found.values())


@pytest.mark.parametrize(
    ("package", "homes"),
    [("mlflow", ["tasks/record/api.py"]), ("dvc", ["tasks/run/walk.py"])],
)
def test_one_file_knows_it(package: str, homes: list[str]) -> None:
    users = [path.relative_to(ROOT).as_posix() for path in SOURCES if package in packages(path)]
    assert users == homes


def test_prefect_is_known_to_flows_alone() -> None:
    users = {path.relative_to(ROOT).parts[0] for path in SOURCES if "prefect" in packages(path)}
    assert users == {"flows"}


def test_the_library_imports_without_orchestration() -> None:
    blocked = "".join(f"sys.modules[{name!r}] = None\n" for name in sorted(ORCHESTRATION))
    code = f"import sys\n{blocked}import eagleeye\nimport eagleeye.data, eagleeye.models, eagleeye.train\n"
    code += "import eagleeye.report, eagleeye.latency.measure\nimport eagleeye.onnx_export\n"
    code += "print(eagleeye.prune.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False, timeout=120
    )
    assert done.stdout.strip() == "prune", done.stderr
