"""Stage by stage, whether it is up to date and why not."""

import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from tasks.ahead import status
from tasks.run.lock import only_run
from tasks.run.walk import Changes, changes_of

STAGES = {
    "first": {"cmd": "cat in > mid", "deps": ["in"], "params": ["a.b"], "outs": ["mid"]},
    "second": {"cmd": "cat mid > out", "deps": ["mid"], "outs": ["out"]},
    "apart": {"cmd": "echo x > else", "deps": ["in"], "outs": ["else"]},
    "looks": {"cmd": "echo y > seen", "always_changed": True, "outs": ["seen"]},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    Repo.init(".").close()
    YAML().dump({"stages": STAGES}, Path("dvc.yaml"))
    Path("params.yaml").write_text("a: {b: 1}\n")
    Path("in").write_text("1")
    return tmp_path


def told(folder: Path) -> tuple[dict[str, str], bool]:
    lines, current = status.told(changes_of(folder))
    return {line.split()[0]: line.strip().split(maxsplit=1)[1] for line in lines}, current


def test_what_has_changed_is_named(folder: Path) -> None:
    assert told(folder)[0] == {
        "first": "to be run: it has never run",
        "second": "to be run: it has never run; waits for first",
        "apart": "to be run: it has never run",
        "looks": "to be run: it has never run",
    }
    with Repo(".") as repo:
        repo.reproduce()
    current = dict.fromkeys(STAGES, "up to date") | {"looks": "runs every time, to see what else has changed"}
    assert told(folder) == (current, True)
    Path("params.yaml").write_text("a: {b: 2}\n")
    changed = {"first": "to be run: a.b changed", "second": "to be run: waits for first"}
    assert told(folder) == (current | changed, False)
    Path("params.yaml").write_text("a: {b: 1}\n")
    Path("in").write_text("2")
    Path("out").unlink()
    assert told(folder)[0] == current | {
        "first": "to be run: in changed",
        "second": "to be run: out is gone; waits for first",
        "apart": "to be run: in changed",
    }


def test_long_lists_are_cut_and_a_changed_command_is_told() -> None:
    nothing = Changes({}, {}, {}, False, False, False, frozenset())
    lines, current = status.told(
        {"x": Changes({f"k{n}": "modified" for n in range(6)}, {}, {}, True, False, False, frozenset())}
    )
    assert lines[0].endswith("to be run: k0 changed; k1 changed; k2 changed; k3 changed; 3 more")
    assert not current
    assert status.told({"x": nothing}) == (["  x                 up to date"], True)


def test_who_is_at_work_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status.run([])
    assert "at work" not in capsys.readouterr().out
    with only_run("stage evaluate"):
        status.run([])
    assert capsys.readouterr().out.startswith("at work now: stage evaluate (process ")
