"""dvc.yaml against the code: the same stages, sources, settings and files in both."""

import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

import tasks.artifacts as artifacts
from tasks.__main__ import STAGES, STUDIES
from tasks.params import Params
from tasks.run.walk import stage_names
from tasks.settings import override
from tests.imports import ROOT, closure

DEFINED: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")
# A study is an item of a list in params.yaml, and no stage where the list is empty.
STUDY = DEFINED["stages"].pop("study")
PIPELINE = {"stages": DEFINED["stages"] | dict.fromkeys(STUDIES, STUDY["do"])}
# What runs, tells and records stages, and what all of the code stands on, does not make their results.
FOUNDATIONS = ("errors.py", "files.py", "foreign.py", "references.py")
TELLING = frozenset(path for room in ("run", "record") for path in (ROOT / "tasks" / room).glob("*.py"))
AROUND = [
    *("tasks/state", "tasks/artifacts.py", "tasks/params.py", "tasks/passwords.py", "tasks/settings.py"),
    "tasks/task_rules.py",
    *(f"eagleeye/{name}" for name in FOUNDATIONS),
]
# Where training images are drawn, and a network is trained, the rest of the library only checks and names.
CHECKS = {
    "watch": ["eagleeye/scoring", "eagleeye/task", "eagleeye/forward"],
    "subset": ["eagleeye/scoring", "eagleeye/task", "eagleeye/forward"],
    "rank": ["eagleeye/forward"],
    "baseline": ["eagleeye", "tasks/work"],
}
# Used by no stage's results: where candidates are scored, where MLflow is, and which studies are wanted.
SETTINGS_WITHOUT_STAGE = {"runner", "tracking", "studies"}


def covered(path: Path, deps: list[str]) -> bool:
    return any(path == ROOT / dep or path.is_relative_to(ROOT / dep) for dep in deps)


def outputs(stage: dict[str, Any]) -> list[str]:
    entries = stage.get("outs", []) + stage.get("metrics", []) + stage.get("plots", [])
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def named(stage: str) -> set[str]:
    """The sources that a stage depends on."""
    written = {path for other in PIPELINE["stages"].values() for path in outputs(other)}
    return set(PIPELINE["stages"][stage]["deps"]) - written


@pytest.mark.parametrize("stage", [*STAGES, *STUDIES])
def test_a_stage_depends_on_every_source_that_makes_its_result(stage: str) -> None:
    deps = [*named(stage), *AROUND, *CHECKS.get(stage, [])]
    sources = closure(ROOT / "tasks" / "stages" / f"{stage}.py", without=TELLING)
    assert len(sources) > 3
    # A package's own __init__ holds no more than imports and names.
    assert [path for path in sorted(sources) if not covered(path, deps) and path.name != "__init__.py"] == []


@pytest.mark.parametrize("stage", [*STAGES, *STUDIES])
def test_a_stage_depends_on_nothing_that_it_does_not_use(stage: str) -> None:
    sources = closure(ROOT / "tasks" / "stages" / f"{stage}.py", without=TELLING)
    for dep in named(stage) - {"own"}:
        assert any(path == ROOT / dep or path.is_relative_to(ROOT / dep) for path in sources), dep


@pytest.mark.parametrize("stage", [*STAGES, *STUDIES])
def test_a_stage_names_six_rooms_at_most_and_the_users_own(stage: str) -> None:
    assert len(named(stage) - {"own"}) <= 6
    assert "own" in named(stage) or stage in ("watch", "rank")
    assert (ROOT / "own" / "__init__.py").is_file()


def test_stages_come_in_the_order_of_the_walk() -> None:
    assert tuple(stage_names(ROOT)) == STAGES
    assert set(PIPELINE["stages"]) == {*STAGES, *STUDIES}


def test_studies_are_stages_where_the_settings_name_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert STUDY["foreach"] == "${studies}"
    assert get_args(get_args(Params.model_fields["studies"].annotation)[0]) == STUDIES
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    Repo.init(str(tmp_path)).close()
    assert tuple(stage_names(tmp_path)) == STAGES
    override(tmp_path / "params.yaml", {"studies": list(STUDIES)})
    found = stage_names(tmp_path)
    assert set(found) == {*STAGES, *(f"study@{name}" for name in STUDIES)}
    assert found.index("study@correlation") > found.index("rank")


def test_every_stage_runs_its_own_module() -> None:
    for name, stage in PIPELINE["stages"].items():
        assert stage["cmd"].replace("${item}", name) == f"python -m tasks {name}"
        assert (ROOT / "tasks" / "stages" / f"{name}.py").is_file()


def test_every_setting_drives_a_stage() -> None:
    keys = {key for stage in PIPELINE["stages"].values() for key in stage.get("params", [])}
    sections = set(Params.model_fields)
    assert {key.split(".")[0] for key in keys} == sections - SETTINGS_WITHOUT_STAGE
    for section in ("baseline", "subset", "strategies", "evaluate", "rank", "finetune", "report", "correlation"):
        assert section in PIPELINE["stages"][section]["params"]


def test_outputs_are_the_artefacts_of_the_code() -> None:
    written = {path for stage in PIPELINE["stages"].values() for path in outputs(stage)}
    named = {
        value.as_posix()
        for name, value in vars(artifacts).items()
        if name.isupper() and isinstance(value, Path) and not value.is_absolute()
    }
    inside = {path for path in named if any(Path(path).is_relative_to(folder) for folder in written)}
    cache = {path for path in named if Path(path).is_relative_to(artifacts.CACHE)}
    assert named - inside - cache == {"artifacts", artifacts.EXTRA.as_posix()}
    assert written <= named


def test_tables_are_documented() -> None:
    text = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    for path in artifacts.TABLES:
        schema = artifacts.schema_of(path)
        section = text.split(f"## `{path.as_posix()}`")[1].split("\n## ")[0]
        rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
        documented = [(name.strip(" `"), kind.strip()) for name, kind in rows]
        assert documented == [(field.name, _kind(field)) for field in schema], path


def _kind(field: Any) -> str:
    kind = str(field.type).replace("element: ", "").replace("double", "float64").replace("item: ", "")
    return f"{kind} or null" if field.nullable else kind
