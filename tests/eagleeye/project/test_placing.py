"""The pipeline in a folder of the user's: whole, and nothing of the user's touched."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from eagleeye.errors import ConfigError
from eagleeye.project import library
from eagleeye.project.carried import files
from eagleeye.project.placed import listed
from eagleeye.project.placing import Renewed, by_lock, put, renew
from tests.imports import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def commit(folder: Path) -> None:
    who = ["-c", "user.name=u", "-c", "user.email=u@example.org"]
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    subprocess.run(["git", *who, "commit", "-qm", "x"], cwd=folder, check=True)


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_all_that_the_pipeline_is_made_of_is_put_there(folder: Path) -> None:
    written = put(folder)
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", ".dvc", "tasks", "flows", "own", "recipes"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert len(tracked) > 50
    same = [*tracked, "params.yaml", "prefect.yaml", "prefect.toml", "supervisord.conf", ".gitignore"]
    for name in same:
        assert (folder / name).read_bytes() == (ROOT / name).read_bytes()
    assert set(written) == set(contents(folder))
    assert not (folder / "eagleeye").exists()
    assert (folder / "Makefile").read_text() == "include pipeline.mk\n"


def test_stages_there_depend_on_the_file_that_names_the_library(folder: Path) -> None:
    put(folder)
    yaml: Any = YAML(typ="safe")
    here, there = (yaml.load(where / "dvc.yaml")["stages"] for where in (ROOT, folder))
    for name, stage in here.items():
        deps = stage.get("do", stage)["deps"]
        found = there[name].get("do", there[name])["deps"]
        own = [dep for dep in deps if dep.split("/")[0] != "eagleeye"]
        assert sorted(found) == sorted([*own, *(["eagleeye.lock"] if len(own) < len(deps) else [])]), name
    assert by_lock("  a:\n    deps:\n      - own\n") == "  a:\n    deps:\n      - own\n"


def test_nothing_of_the_users_is_overwritten(folder: Path) -> None:
    (folder / "params.yaml").write_text("mine: 1\n")
    (folder / "recipes").mkdir()
    (folder / "recipes" / "cifar10-resnet20.yaml").write_text("mine: 2\n")
    before = contents(folder)
    with pytest.raises(ConfigError, match=r"params\.yaml, recipes/cifar10-resnet20\.yaml; .*eagleeye init pruning"):
        put(folder)
    assert contents(folder) == before
    assert put(folder / "pruning")
    assert (folder / "params.yaml").read_text() == "mine: 1\n"


@pytest.mark.parametrize("name", ["tasks/__init__.py", "flows/deep/mine.py", "tasks.py", "eagleeye/__init__.py"])
def test_modules_of_the_same_name_are_refused_with_the_way_out(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("")
    module = name.split("/", maxsplit=1)[0].removesuffix(".py")
    with pytest.raises(ConfigError, match=rf"module of its own named {module}: .*`eagleeye init pruning`"):
        put(folder)
    assert contents(folder) == {name: b""}


def test_a_makefile_dvcs_folder_and_ignored_names_of_the_users_stay(folder: Path) -> None:
    (folder / "Makefile").write_text("mine:\n")
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("[core]\n    remote = mine\n")
    (folder / ".gitignore").write_text("mine\n__pycache__/\n")
    put(folder)
    assert (folder / "Makefile").read_text() == "mine:\n"
    assert contents(folder)[".dvc/config"] == b"[core]\n    remote = mine\n"
    lines = (folder / ".gitignore").read_text().splitlines()
    assert lines[:2] == ["mine", "__pycache__/"]
    assert lines.count("__pycache__/") == 1
    assert "/.eagleeye/" in lines


def test_a_folder_without_git_and_a_clone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in no git repository: run `git init`"):
        put(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="is a clone of EagleEye"):
        put(ROOT)
    with pytest.raises(ConfigError, match="has no pipeline"):
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
        renew(tmp_path)


def test_renewing_brings_the_code_and_leaves_the_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder)
    with pytest.raises(ConfigError, match="has the pipeline already: `eagleeye init --update`"):
        put(folder)
    module, own = folder / "tasks" / "artifacts.py", folder / "own" / "__init__.py"
    module.write_text("# of a former version\n")
    own.write_text("# mine\n")
    (folder / "params.yaml").write_text("# mine\n")
    with pytest.raises(ConfigError, match=r"^tasks/artifacts\.py: changes that are in no commit"):
        renew(folder)
    commit(folder)
    assert renew(folder) == Renewed(["tasks/artifacts.py"], [], [])
    assert module.read_bytes() == (ROOT / "tasks" / "artifacts.py").read_bytes()
    assert (own.read_text(), (folder / "params.yaml").read_text()) == ("# mine\n", "# mine\n")
    assert renew(folder) == Renewed([], [], [])


def test_renewing_removes_what_only_the_former_pipeline_had(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    former = ["tasks/old/__init__.py", "tasks/old/edited.py", "recipes/old.yaml"]
    carried = folder.parent / "carried"
    for name in [*files(ROOT), *former]:
        path = carried / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((ROOT / name).read_bytes() if (ROOT / name).is_file() else b"# old\n")
    with monkeypatch.context() as patch:
        patch.setattr("eagleeye.project.placing.source", lambda: carried)
        put(folder)
    (folder / "tasks" / "old" / "edited.py").write_text("# mine\n")
    (folder / "tasks" / "mine.py").write_text("# never placed\n")
    commit(folder)
    assert renew(folder) == Renewed(
        ["eagleeye.lock"], ["recipes/old.yaml", "tasks/old/__init__.py"], ["tasks/old/edited.py"]
    )
    assert {*former, "tasks/mine.py"} & contents(folder).keys() == {"tasks/old/edited.py", "tasks/mine.py"}
    (folder / "tasks" / "old" / "edited.py").unlink()
    assert renew(folder) == Renewed([], [], [])


def test_a_lock_removes_nothing_elsewhere_and_may_list_nothing() -> None:
    assert listed("x\nfiles:\n  ../a.py: 1\n  /b.py: 2\n  tasks/c.py: 3\n") == {"tasks/c.py": "3"}
    assert listed("version: 0.1.0\nsources: 1\n") == {}


def test_another_library_than_the_folders_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder)
    library.require_same(folder)
    library.require_same(ROOT)  # a clone names none
    monkeypatch.setattr(library, "fingerprint", lambda: "0" * 64)
    with pytest.raises(ConfigError, match="with other files is installed: `eagleeye init --update`"):
        library.require_same(folder)


def test_files_are_those_that_git_has() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(files(ROOT)) <= set(tracked)
