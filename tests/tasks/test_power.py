"""A power cut between any two writes leaves nothing torn: the next run ends like an undisturbed one."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tasks.conftest import ROOT, Search


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_power_cut_between_two_writes_loses_and_doubles_nothing(finished: Search, tmp_path: Path) -> None:
    # Every thirteenth write here; all of them take minutes.
    command = [sys.executable, "-m", "tests.tasks.power", str(finished.folder), str(tmp_path), "13"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    writes, candidates, *failed = map(int, done.stdout.splitlines()[-1].split())
    assert writes > 30
    assert candidates == 7
    assert failed == []
