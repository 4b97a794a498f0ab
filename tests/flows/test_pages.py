"""What is wrong with MLflow's file is told before its server starts."""

import shutil
from pathlib import Path

import pytest

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
