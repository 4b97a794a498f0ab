"""What stands in the way of our servers is told before they start, and how they are reached after it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL
from prefect.settings.context import temporary_settings

from eagleeye.errors import ConfigError
from flows import pages, processes
from flows.servers import main
from tests.flows.project import ROOT, free_port


def test_a_damaged_record_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_PORT", str(free_port()))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    Path("mlflow.db").write_bytes(b"SQLite format 3\0" + b"noise" * 4000)
    before = Path("mlflow.db").read_bytes()
    assert main(["ui"]) == 1
    told = capsys.readouterr().err.strip()
    assert "\n" not in told
    assert "the file is damaged" in told
    assert Path("mlflow.db").read_bytes() == before


def test_commands_are_told_of_a_server_that_is_not_where_the_folder_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(pages, "PROXIED", False)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4200/api"}):
        assert pages.before_commands() == ""
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4301/api"}):
        assert pages.before_commands() == "PREFECT_API_URL=http://127.0.0.1:4301/api "


def test_whose_server_has_a_port_is_told(tmp_path: Path) -> None:
    code = "import socket, sys; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen();"
    code += "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, processes.FOLDER: str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None and other.stdin is not None
        port = int(other.stdout.readline())
        with pytest.raises(ConfigError, match=rf"port {port} .*by that of {tmp_path}.* MLFLOW_PORT=\d+ make ui"):
            pages.require_free({"MLflow": f"http://127.0.0.1:{port}"}, "ui")
        other.stdin.close()
