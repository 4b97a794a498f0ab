"""A search that is pushed on one machine goes on, on another, where it stopped."""

import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.__main__ import STAGES
from tasks.settings import override
from tests.flows.project import TABLES, environment, free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def git(folder: Path, *arguments: str) -> None:
    author = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.com"]
    subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True)


def said(folder: Path, *arguments: str, **more: str) -> str:
    """What a dvc command says."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment(folder, **more), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def stages_run(text: str) -> list[str]:
    """The stages that ran, but for the one that always runs."""
    first, *others = re.findall(r"Running stage '(\w+)'", text)
    assert first == "watch"
    return others


def is_clean(folder: Path) -> bool:
    """Whether nothing is out of date; the stage that always runs is always told of."""
    return said(folder, "status").split() == ["watch:", "always", "changed"]


@pytest.fixture
def finished(undisturbed: Path, tmp_path: Path) -> Path:
    """A project whose search has run and whose record is committed."""
    folder = tmp_path / "first" / "project"
    shutil.copytree(undisturbed, folder, symlinks=True)
    git(folder, "add", "--all")
    git(folder, "commit", "--message", "search")
    return folder


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a local server that speaks S3, with an empty bucket named `cache`."""
    port = free_port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urllib.request.urlopen(urllib.request.Request(f"{address}/cache", method="PUT"))
            break
        except OSError:
            time.sleep(0.1)
    yield address
    server.send_signal(signal.SIGTERM)
    server.wait()


def on_another_machine(first: Path, folder: Path) -> Path:
    git(first.parent, "clone", str(first), str(folder))
    assert not (folder / "artifacts").exists()
    return folder


def must_go_on(folder: Path, first: Path) -> None:
    said(folder, "pull")
    for name in TABLES:
        assert (folder / "artifacts" / name).read_bytes() == (first / "artifacts" / name).read_bytes(), name
    assert is_clean(folder)
    assert stages_run(said(folder, "repro")) == []
    override(folder / "params.yaml", {"report.latency_repeats": 6})
    assert stages_run(said(folder, "repro")) == ["report"]


def test_a_folder_as_remote(finished: Path, tmp_path: Path) -> None:
    said(finished, "remote", "add", "--default", "--force", "shelf", str(tmp_path / "shelf"))
    said(finished, "push")
    git(finished, "commit", "--all", "--message", "shelf")
    must_go_on(on_another_machine(finished, tmp_path / "second"), finished)


def test_a_bucket_as_remote(finished: Path, tmp_path: Path, bucket: str) -> None:
    said(finished, "remote", "add", "--default", "--force", "bucket", "s3://cache/eagleeye")
    said(finished, "remote", "modify", "bucket", "endpointurl", bucket)
    said(finished, "push")
    git(finished, "commit", "--all", "--message", "bucket")
    must_go_on(on_another_machine(finished, tmp_path / "second"), finished)


def test_an_older_commit_brings_back_its_tables(finished: Path) -> None:
    folder = finished
    old = {name: (folder / "artifacts" / name).read_bytes() for name in TABLES}
    override(folder / "params.yaml", {"subset.seed": 1})
    assert stages_run(said(folder, "repro")) == list(STAGES[1:])
    assert all((folder / "artifacts" / name).read_bytes() != content for name, content in old.items())
    git(folder, "commit", "--all", "--message", "another draw")

    git(folder, "checkout", "HEAD~1")
    said(folder, "checkout")
    assert {name: (folder / "artifacts" / name).read_bytes() for name in TABLES} == old
    assert is_clean(folder)
    assert stages_run(said(folder, "repro")) == []


def test_a_changed_setting_reruns_what_depends_on_it(finished: Path) -> None:
    folder = finished
    override(folder / "params.yaml", {"rank.top_k": 2})
    assert stages_run(said(folder, "repro")) == ["rank", "finetune", "report"]
    override(folder / "params.yaml", {"rank.top_k": 1})
    assert stages_run(said(folder, "repro")) == []  # from the run cache
    override(folder / "params.yaml", {"tracking.experiment": "elsewhere"})
    assert is_clean(folder)
