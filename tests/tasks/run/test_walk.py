import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from eagleeye.errors import ConfigError, EagleEyeError
from tasks.run.walk import bring_up_to_date, current_stages, repair, stage_names

BODY = """
import sys, pathlib, json
name = sys.argv[1]
setting = json.loads(pathlib.Path("params.yaml").read_text())[name]
before = pathlib.Path("first.txt").read_text() if name == "second" else ""
pathlib.Path(f"{name}.txt").write_text(f"{before}{name}={setting};")
with open("calls.log", "a") as log:
    log.write(name + " ")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    Repo.init(".").close()
    stages = {
        "second": {"cmd": f"{sys.executable} body.py second", "deps": ["first.txt"], "params": ["second"]},
        "first": {"cmd": f"{sys.executable} body.py first", "deps": ["source.txt"], "params": ["first"]},
    }
    for name, stage in stages.items():
        stage["outs"] = [f"{name}.txt"]
    Path("dvc.yaml").write_text(json.dumps({"stages": stages}))
    Path("body.py").write_text(BODY)
    Path("source.txt").write_text("source")
    set_params(first=1, second=1)
    return tmp_path


def set_params(**values: int) -> None:
    Path("params.yaml").write_text(json.dumps(values))


def calls() -> list[str]:
    log = Path("calls.log")
    found = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return found


def walk(root: Path) -> dict[str, str]:
    def body(name: str) -> None:
        subprocess.run([sys.executable, "body.py", name], check=True)

    return {name: bring_up_to_date(root, name, lambda name=name: body(name)) for name in stage_names(root)}


def repro() -> None:
    with Repo(".") as repo:
        repo.reproduce()


def is_clean() -> bool:
    with Repo(".") as repo:
        return not repo.status()


def test_stages_come_in_the_order_of_their_dependencies(project: Path) -> None:
    assert stage_names(project) == ["first", "second"]


def test_the_walk_leaves_nothing_to_do_for_either_door(project: Path) -> None:
    assert walk(project) == {"first": "ran", "second": "ran"}
    assert Path("second.txt").read_text() == "first=1;second=1;"
    assert calls() == ["first", "second"]
    assert is_clean()
    repro()
    assert walk(project) == {"first": "up to date", "second": "up to date"}
    assert calls() == []


def test_what_dvc_reproduced_is_up_to_date_for_the_walk(project: Path) -> None:
    repro()
    assert calls() == ["first", "second"]
    assert walk(project) == {"first": "up to date", "second": "up to date"}


def test_a_changed_setting_reruns_what_depends_on_it_and_a_reverted_one_is_restored(project: Path) -> None:
    walk(project)
    set_params(first=1, second=2)
    assert walk(project) == {"first": "up to date", "second": "ran"}
    set_params(first=1, second=1)
    calls()
    assert walk(project) == {"first": "up to date", "second": "restored"}
    assert calls() == []
    assert Path("second.txt").read_text() == "first=1;second=1;"
    assert is_clean()


def test_the_doors_share_the_run_cache(project: Path) -> None:
    walk(project)
    set_params(first=2, second=1)
    repro()
    set_params(first=1, second=1)
    calls()
    repro()
    assert calls() == []
    set_params(first=2, second=1)
    assert set(walk(project).values()) == {"restored"}


def test_a_stage_that_always_runs_reruns_the_others_only_when_it_writes_something_else(project: Path) -> None:
    stages = json.loads(Path("dvc.yaml").read_text())["stages"]
    stages["first"] |= {"always_changed": True, "outs": [{"first.txt": {"persist": True}}]}
    Path("dvc.yaml").write_text(json.dumps({"stages": stages}))
    assert walk(project) == {"first": "ran", "second": "ran"}
    assert walk(project) == {"first": "up to date", "second": "up to date"}
    assert calls() == ["first", "second", "first"]
    assert current_stages(project) == ["first", "second"]
    repro()
    assert calls() == ["first"]
    Path("body.py").write_text(BODY.replace("={setting}", " is {setting}"))
    assert walk(project) == {"first": "ran", "second": "ran"}
    Path("body.py").write_text(BODY)
    calls()
    repro()
    assert calls()[0] == "first"
    assert Path("second.txt").read_text() == "first=1;second=1;"
    with Repo(".") as repo:
        assert repo.status() == {"first": ["always changed"]}
    set_params(first=2, second=1)
    assert current_stages(project) == []


def test_a_failed_body_leaves_the_stage_to_be_run_again(project: Path) -> None:
    def fail() -> None:
        Path("first.txt").write_text("half")
        raise EagleEyeError("no")

    with pytest.raises(EagleEyeError, match="no"):
        bring_up_to_date(project, "first", fail)
    assert not is_clean()
    assert walk(project) == {"first": "ran", "second": "ran"}


def test_committing_one_stage_does_not_bless_a_stale_one(project: Path) -> None:
    walk(project)
    set_params(first=2, second=2)
    bring_up_to_date(project, "first", lambda: Path("first.txt").write_text("first=2;") and None)
    with Repo(".") as repo:
        assert list(repo.status()) == ["second"]


def test_outputs_are_gone_when_the_body_starts(project: Path) -> None:
    walk(project)
    set_params(first=3, second=1)

    def body() -> None:
        assert not Path("first.txt").exists()
        Path("first.txt").write_text("new")

    assert bring_up_to_date(project, "first", body) == "ran"


@pytest.mark.parametrize("mode", ["write", "read"])
def test_a_stage_that_another_process_works_on_is_refused(project: Path, mode: str) -> None:
    walk(project)
    set_params(first=5, second=1)
    holder = {"pid": os.getppid(), "cmd": "dvc repro"}
    path = str(project / "first.txt")
    lock = {"write": {path: holder}} if mode == "write" else {"read": {path: [holder]}}
    Path(".dvc/tmp/rwlock").write_text(json.dumps(lock))
    with pytest.raises(ConfigError, match=rf"another run is at work here: .*PID {os.getppid()}.*wait for it"):
        bring_up_to_date(project, "first", lambda: None)


def test_while_a_body_runs_dvc_is_refused(project: Path) -> None:
    # From another process: DVC takes its own process's locks for its own.
    code = "from dvc.repo import Repo; Repo('.').reproduce('first')"
    outcomes = []

    def body() -> None:
        outcomes.append(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False))
        Path("first.txt").write_text("x")

    bring_up_to_date(project, "first", body)
    assert outcomes[0].returncode != 0
    assert "is busy" in outcomes[0].stderr
    assert calls() == []


def test_dvc_errors_are_one_line(project: Path) -> None:
    Path("params.yaml").write_text("{")
    with pytest.raises(ConfigError, match=r"^DVC: .*params.yaml") as caught:
        walk(project)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"no dvc\.yaml"):
        stage_names(project / ".dvc")


def test_nothing_to_mend_leaves_everything_alone(project: Path) -> None:
    walk(project)
    before = Path("dvc.lock").read_bytes()
    assert repair(project) == []
    assert Path("dvc.lock").read_bytes() == before


@pytest.mark.parametrize("torn", ["", '{"write": {"/a"'])
def test_a_torn_table_of_locks_holds_nobody_up(project: Path, torn: str) -> None:
    walk(project)
    Path(".dvc/tmp/rwlock").write_text(torn)
    with pytest.raises(ConfigError, match="corrupted"):
        set_params(first=2, second=1)
        walk(project)
    assert repair(project) == ["DVC's table of locks was torn by a kill: removed"]
    assert walk(project) == {"first": "ran", "second": "ran"}


def test_a_torn_dvc_lock_costs_no_work_wherever_it_is_torn(project: Path) -> None:
    walk(project)
    calls()
    whole = Path("dvc.lock").read_bytes()
    for size in range(0, len(whole), 17):
        Path("dvc.lock").write_bytes(whole[:size])
        repair(project)
        with Repo(".") as repo:
            repo.status()  # which reads it
    Path("dvc.lock").write_bytes(whole[: whole.index(b"hash: md5") + 7])
    assert repair(project) == ["dvc.lock was torn by a kill: now dvc.lock.torn; stages come back from DVC's run cache"]
    assert set(walk(project).values()) == {"restored"}
    assert calls() == []
    assert Path("dvc.lock").read_bytes() == whole


def test_a_conflict_in_dvc_lock_is_not_taken_for_a_torn_file(project: Path) -> None:
    walk(project)
    text = Path("dvc.lock").read_text()
    path, number = Path("dvc.lock"), len(text.splitlines()) + 1
    path.write_text(f"{text}<<<<<<< HEAD\n    md5: a\n=======\n    md5: b\n>>>>>>> other\n")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=rf"^dvc\.lock: line {number}: marks of a merge[^\n]+git checkout --theirs"):
        repair(project)
    assert path.read_bytes() == before
    assert not Path("dvc.lock.torn").exists()


def test_a_dvc_lock_of_any_bytes_is_mended_or_one_line(project: Path) -> None:
    walk(project)
    whole = Path("dvc.lock").read_bytes()
    cuts = [
        b"\0",
        b"\xff",
        b"[" * 5000,
        b"&a [*a]",
        b"- ",
        b"{",
        b"!!python/none x",
        b"\n<<<<<<< x\n=======\n>>>>>>> y\n",
    ]
    for put in cuts:
        for start in (0, len(whole) // 2, len(whole)):
            Path("dvc.lock").write_bytes(whole[:start] + put + whole[start:])
            try:
                repair(project)
                stage_names(project)
            except EagleEyeError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize("name", ["dvc.lock", "dvc.yaml", "params.yaml"])
def test_a_folder_in_the_place_of_a_file_is_one_line(project: Path, name: str) -> None:
    walk(project)
    Path(name).unlink()
    Path(name).mkdir()
    with pytest.raises(EagleEyeError) as caught:
        repair(project)
        walk(project)
    assert "\n" not in str(caught.value)
