"""The trio of servers that `make up` starts, for real, on free ports."""

import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.project import checkout, environment, free_port

pytestmark = pytest.mark.slow


def servers(folder: Path, word: str, ports: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "flows.servers", word]
    return subprocess.run(
        command, cwd=folder, env=environment(folder, **ports), capture_output=True, text=True, check=False
    )


@pytest.fixture
def ports() -> dict[str, str]:
    prefect, mlflow = free_port(), free_port()
    api = f"http://127.0.0.1:{prefect}/api"
    return {"PREFECT_SERVER_API_PORT": str(prefect), "PREFECT_API_URL": api, "MLFLOW_PORT": str(mlflow)}


@pytest.fixture
def project(tmp_path: Path, ports: dict[str, str]) -> Iterator[Path]:
    folder = checkout(tmp_path / "project")
    yield folder
    servers(folder, "down", ports)


def test_up_starts_what_answers_and_down_stops_it(project: Path, ports: dict[str, str]) -> None:
    started = servers(project, "up", ports)
    assert started.returncode == 0, started.stderr
    pages = [line.split()[1] for line in started.stdout.splitlines()[:2]]
    assert pages == [f"http://127.0.0.1:{ports[name]}" for name in ("PREFECT_SERVER_API_PORT", "MLFLOW_PORT")]
    for page in pages:
        assert b"<!doctype html>" in urllib.request.urlopen(page).read().lower()
    # The worker has registered the deployments by then.
    assert urllib.request.urlopen(f"{ports['PREFECT_API_URL']}/deployments/name/eagleeye/search").status == 200
    assert servers(project, "up", ports).stdout.startswith("already up:")
    # Local addresses as Linux writes them: 127.0.0.1, and nothing that other machines reach.
    assert {place for place, port in listening() if str(port) in ports.values()} == {"0100007F"}

    assert servers(project, "down", ports).stdout == "down\n"
    for page in pages:
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(page)
    assert servers(project, "down", ports).stdout == "nothing was up\n"


def test_a_port_that_is_taken_is_named_with_the_way_out(project: Path, ports: dict[str, str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(ports["MLFLOW_PORT"])))
        other.listen()
        refused = servers(project, "up", ports)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"MLflow cannot have port {ports['MLFLOW_PORT']} of 127.0.0.1")
    assert "MLFLOW_PORT=5001 make up" in refused.stderr
    assert not (project / ".prefect" / "supervisor.sock").exists()


def listening() -> list[tuple[str, int]]:
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    places = [line[1].split(":") for line in lines if line[3] == "0A"]
    return [(place, int(port, 16)) for place, port in places]
