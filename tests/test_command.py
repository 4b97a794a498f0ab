"""`eagleeye` on the command line, as a user has it: from the wheel, in a folder of their own."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from eagleeye.__main__ import main
from tasks.params import Params
from tests.flows.project import SMALL
from tests.imports import ROOT


def run(folder: Path, *words: str, path: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    bin_folder = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {**os.environ, "PYTHONPATH": str(path), "PATH": bin_folder, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False, timeout=800)


@pytest.mark.parametrize("word", ["check", "status"])
def test_where_there_is_no_pipeline_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([word]) == 1
    assert capsys.readouterr().err == f"eagleeye: {tmp_path} has no pipeline: `eagleeye init` puts it there, or " + (
        "change to the folder with it\n"
    )


def test_init_says_what_comes_next_and_refusals_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "new"]) == 1
    assert capsys.readouterr().err == (
        "eagleeye: new is in no git repository: run `git init` there first, so that what ran can be told later\n"
    )
    assert list(tmp_path.iterdir()) == []
    subprocess.run(["git", "init", "-q"], check=True)
    assert main(["init", "new"]) == 0
    told = capsys.readouterr().out
    assert "next: cd new; " in told
    assert "eagleeye check" in told
    with pytest.raises(SystemExit, match="2"):
        main(["chekc"])


def test_help_explains_every_setting(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "eagleeye", "--help")
    assert done.returncode == 0, done.stderr
    for word in ("init", "check", "status", "settings"):
        assert f"    {word} " in done.stdout
    text = " ".join(done.stdout.split())
    for section in Params.model_fields.values():
        fields = getattr(section.annotation, "model_fields", {"": section})
        for field in fields.values():
            assert field.description is None or " ".join(field.description.split()) in text


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_wheel_has_a_folder_pruned_and_takes_no_names(tmp_path: Path) -> None:
    site, folder = tmp_path / "site", tmp_path / "mine"
    build = ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    # A copy, as the build leaves files beside the sources.
    listed = run(ROOT, "-c", "import subprocess; subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'])")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/", "benchmarks/")):
            (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "source" / name).write_bytes((ROOT / name).read_bytes())
    done = run(tmp_path / "source", *build, ".")
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    tops = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"eagleeye"}

    folder.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    done = run(folder, "-m", "eagleeye", "init", path=site)
    assert done.returncode == 0, done.stderr
    small = {**SMALL, "strategies.count": 6, "baseline.epochs": 2, "finetune.epochs": 1}
    code = "import pathlib, tasks.settings as s, eagleeye; print(eagleeye.__file__);"
    code += f"s.override(pathlib.Path('params.yaml'), {small!r})"
    assert run(folder, "-c", code, path=site).stdout.startswith(str(site))
    assert "subset            to be run: it has never run" in run(folder, "-m", "eagleeye", "status", path=site).stdout
    done = run(folder, "-m", "dvc", "repro", path=site)
    assert done.returncode == 0, done.stderr + done.stdout
    done = run(folder, "-m", "eagleeye", "status", path=site)
    assert done.stdout.count("up to date") == 7, done.stdout
    (folder / "eagleeye.lock").write_text("version: 9.9\n")
    done = run(folder, "-m", "dvc", "repro", path=site)
    assert "eagleeye.lock names eagleeye 9.9, but" in done.stderr + done.stdout
