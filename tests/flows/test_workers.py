"""The servers that teams run: Prefect and an MLflow server on PostgreSQL, a work pool with two workers."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from tasks.__main__ import STAGES
from tasks.settings import override
from tests.flows.project import checkout, environment, free_port
from tests.postgres import Postgres
from tests.tasks.record.mlflow_server import MlflowServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
RUN = ("prefect", "deployment", "run", "eagleeye/search", "--watch")


@pytest.fixture
def tracking(tmp_path: Path, postgres: Postgres) -> Iterator[str]:
    """An MLflow server over HTTP: records in PostgreSQL, artefacts through the server."""
    store = postgres.url("workers_mlflow").replace("postgresql://", "postgresql+psycopg://")
    with MlflowServer(tmp_path / "mlflow", store) as server:
        yield server.uri


@pytest.fixture
def project(tmp_path: Path, tracking: str) -> Path:
    folder = checkout(tmp_path / "project")
    override(folder / "params.yaml", {"tracking.uri": tracking, "strategies.count": 10})
    return folder


@pytest.fixture
def settings(project: Path, postgres: Postgres) -> dict[str, str]:
    port = str(free_port())
    return environment(
        project,
        PREFECT_SERVER_API_PORT=port,
        PREFECT_API_URL=f"http://127.0.0.1:{port}/api",
        PREFECT_SERVER_DATABASE_CONNECTION_URL=postgres.url("workers_prefect").replace(
            "postgresql://", "postgresql+asyncpg://"
        ),
    )


@pytest.fixture
def workers(project: Path, settings: dict[str, str]) -> Iterator[Path]:
    """The log of the flow runs of two workers of one pool."""
    processes, logs = [], [project / f"worker{number}.log" for number in (1, 2)]

    def start(log: Path, *command: str) -> None:
        with log.open("wb") as file:
            everything = {"cwd": project, "env": settings, "stdout": file, "stderr": file, "start_new_session": True}
            processes.append(subprocess.Popen([sys.executable, "-m", *command], **everything))

    start(project / "server.log", "flows.server")
    for log in logs:
        start(log, "flows.worker")
    yield project / ".prefect" / "flow-runs.log"
    for process in reversed(processes):
        # A worker that was told to end tells its own process by SIGINT, which a shell's background ignores.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ask(project: Path, settings: dict[str, str]) -> "subprocess.Popen[str]":
    """Ask for a run, as soon as a worker has registered the deployment."""
    command = f"until {sys.executable} -m prefect deployment inspect eagleeye/search > /dev/null; do sleep 1; done"
    command += f"; exec {sys.executable} -m {' '.join(RUN)}"
    return subprocess.Popen(
        ["sh", "-c", command], cwd=project, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_two_runs_at_once_for_two_workers_do_the_work_once(
    project: Path, settings: dict[str, str], workers: Path, tracking: str
) -> None:
    asked = [ask(project, settings) for _ in range(2)]
    said = [process.communicate(timeout=800)[0] for process in asked]
    assert [process.returncode for process in asked] == [0, 0], said

    logs = workers.read_text()
    for stage in STAGES:
        outcomes = re.findall(rf"\b{stage}: (ran|up to date|restored)$", logs, flags=re.MULTILINE)
        assert sorted(outcomes) == ["ran", "up to date"], stage

    ranking = pd.read_parquet(project / "artifacts" / "ranking.parquet")
    client = mlflow.MlflowClient(tracking_uri=tracking)
    experiment = client.get_experiment_by_name("eagleeye")
    runs = client.search_runs([experiment.experiment_id], "tags.`eagleeye.candidate` LIKE '%'")
    assert sorted(run.data.tags["eagleeye.candidate"] for run in runs) == sorted(ranking["id"])
    [search] = client.search_runs([experiment.experiment_id], "tags.`eagleeye.search` LIKE '%'")
    assert search.data.tags["eagleeye.winner"] == ranking["id"][0]
    assert "ranking.parquet" in [artifact.path for artifact in client.list_artifacts(search.info.run_id)]
    assert list((project.parent / "mlflow" / "served").rglob("ranking.parquet"))
