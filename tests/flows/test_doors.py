"""Both doors on the real pipeline: killed in one, continued in the other, the same result as undisturbed."""

import os
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
from dvc.repo import Repo

from flows.search import search
from tasks.settings import override
from tests.flows.project import TABLES, checkout, dvc, scored


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("prefect_server")
def test_killed_in_one_door_and_continued_in_the_other(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = checkout(tmp_path / "killed")
    # MLflow keeps a store in memory by its URI: a relative one would be the next test's, too.
    override(killed / "params.yaml", {"tracking.uri": f"sqlite:///{killed}/mlflow.db"})
    process = dvc(killed, "repro")
    while scored(killed) < 10 and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wanted = len(pd.read_parquet(undisturbed / "artifacts/candidates.parquet"))
    assert wanted > 41  # drawn, allocated and evenly pruned
    assert 10 <= scored(killed) < wanted

    monkeypatch.chdir(killed)
    assert search(return_state=True).is_completed()
    assert scored(killed) == wanted
    for name in TABLES:
        assert (killed / "artifacts" / name).read_bytes() == (undisturbed / "artifacts" / name).read_bytes(), name
    with Repo(str(killed)) as repo:
        assert repo.status() == {"watch": ["always changed"]}
    assert dvc(killed, "repro").wait() == 0
