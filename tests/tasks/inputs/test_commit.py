import subprocess

import pytest

from tasks.inputs.commit import commit


def git(*arguments):
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    return subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository with one commit, in the working directory."""
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    for name in ("params.yaml", "dvc.lock", "metrics.json"):
        (tmp_path / name).write_text("1")
    git("add", "--all")
    git("commit", "--quiet", "--message", "one")
    return tmp_path


def test_it_is_the_one_that_is_checked_out(project):
    assert len(commit()) == 12
    assert git("rev-parse", "HEAD").startswith(commit())


def test_what_a_run_writes_itself_is_no_change(project):
    (project / "dvc.lock").write_text("2")
    (project / "metrics.json").write_text("2")
    (project / "untracked").write_text("2")
    assert len(commit()) == 12


def test_a_changed_setting_is_told(project):
    (project / "params.yaml").write_text("2")
    assert commit().endswith(", and changes since")


def test_without_a_repository_there_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() is None
    monkeypatch.setenv("PATH", "")
    assert commit() is None
