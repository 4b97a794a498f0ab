import os
import subprocess
import sys
from pathlib import Path

import pytest

from eagleeye.errors import BudgetError
from tasks import __main__ as module
from tasks.stages import subset
from tests.terminal import said

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def test_a_mistake_is_one_line_and_a_status(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise BudgetError("out of\n  reach [red]")

    monkeypatch.setattr(subset, "run", refuse)
    assert module.main(["subset"]) == 1
    assert capsys.readouterr() == ("", "subset: out of reach [red]\n")


def test_a_defect_keeps_its_traceback(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subset, "run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        module.main(["subset"])


def test_an_interrupt_says_how_to_continue(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subset, "run", interrupt)
    assert module.main(["subset"]) == 130
    assert "run the same command again to continue" in capsys.readouterr().err


def test_an_interrupt_while_libraries_are_loaded_leaves_no_traceback(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "rich.console":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "rich.console", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    assert module.main(["subset"]) == 130
    assert capsys.readouterr().err == "subset: interrupted; run the same command again to continue\n"


def test_a_stage_runs_as_a_command_and_sends_nothing_home(project: Path) -> None:
    command = [sys.executable, "-m", "tasks", "subset"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    )
    assert done.returncode == 0, done.stderr
    assert Path("artifacts/sub_validation.parquet").is_file()
    assert done.stdout.startswith("subset: 48 calibration and 287 sub-validation images out of 1437 training images")


def test_usage_data_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os, tasks; print(os.environ['DO_NOT_TRACK'], os.environ['DVC_NO_ANALYTICS'])"
    code += "\nfrom prefect.settings import get_current_settings as s; print(s().server.analytics_enabled)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["true", "true", "False"]


def test_with_another_library_whose_modules_are_others_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "eagleeye.lock").write_text("version: 9.9\n")
    code = "import sys; sys.modules['tasks.params'] = None; from tasks.__main__ import main;"
    code += "sys.exit(main([sys.argv[1]]))"
    for word in ("rank", "settings"):
        done = subprocess.run(
            [sys.executable, "-c", code, word],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        line = said(done.stderr)
        assert line.startswith(f"{word}: eagleeye.lock names eagleeye 9.9, but ")
        assert line.count("\n") == 1
