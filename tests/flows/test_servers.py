"""The trio of servers that `make up` starts, for real, on free ports."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL
from prefect.settings.context import temporary_settings

from flows.processes import belonging_to
from tests.flows.project import checkout, environment, free_port
from tests.flows.strangers import FOREIGN, asked
from tests.terminal import said

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PROXIES = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "ALL_PROXY": "socks5://127.0.0.1:9"}


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
    # So deep that no socket could lie in it, with a space.
    folder = checkout(tmp_path / ("deep " + "down" * 30) / "project")
    yield folder
    servers(folder, "down", ports)


def test_up_starts_what_answers_its_own_pages_and_down_stops_it(project: Path, ports: dict[str, str]) -> None:
    # The port alone says where Prefect's server is asked, too.
    alone = {name: value for name, value in ports.items() if name != "PREFECT_API_URL"}
    started = servers(project, "up", alone | PROXIES)
    assert started.returncode == 0, started.stderr
    *lines, following = started.stdout.splitlines()
    pages = [line.split()[1].partition("/#/")[0] for line in lines[:2]]
    assert pages == [f"http://127.0.0.1:{ports[name]}" for name in ("PREFECT_SERVER_API_PORT", "MLFLOW_PORT")]
    told = f"NO_PROXY=127.0.0.1,localhost,::1 PREFECT_API_URL={ports['PREFECT_API_URL']} prefect deployment run"
    assert following.startswith(f"next: {told} eagleeye/search")
    for page in pages:
        assert b"<!doctype html>" in urllib.request.urlopen(page).read().lower()
    # The worker has registered the deployments by then.
    deployment = f"{ports['PREFECT_API_URL']}/deployments/name/eagleeye/search"
    assert urllib.request.urlopen(deployment).status == 200
    again = servers(project, "up", {}).stdout.splitlines()
    assert again[0] == "already up:"
    assert [line.split()[1].partition("/#/")[0] for line in again[1:3]] == pages
    # Local addresses as Linux writes them: 127.0.0.1, and nothing that other machines reach.
    assert {place for place, port in listening() if str(port) in ports.values()} == {"0100007F"}
    refuses_strangers(deployment, pages[1])

    # Without being told where: `make down` asks the server that was started here.
    assert servers(project, "down", {}).stdout == "down\n"
    for page in pages:
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(page)
    assert servers(project, "down", ports).stdout == "nothing was up\n"


def refuses_strangers(deployment: str, mlflow: str) -> None:
    api, _, _ = deployment.partition("/deployments/")
    number = json.loads(urllib.request.urlopen(deployment).read())["id"]
    run = f"{api}/deployments/{number}/create_flow_run"
    body = json.dumps({"parameters": {"overrides": {"data.source": "os:system"}}}).encode()
    experiment = f"{mlflow}/ajax-api/2.0/mlflow/experiments/create"
    for headers in FOREIGN:
        for kind in ("text/plain", "application/json"):
            assert asked(run, "POST", {**headers, "Content-Type": kind}, body) == 403, headers
            assert asked(experiment, "POST", {**headers, "Content-Type": kind}, b'{"name": "x"}') == 403, headers
        assert asked(run, "OPTIONS", {**headers, "Access-Control-Request-Method": "POST"}) == 403, headers
        assert asked(experiment, "OPTIONS", {**headers, "Access-Control-Request-Method": "POST"}) in (400, 403)
    for address in (deployment, mlflow):
        assert asked(address, "GET", {"Host": "10.stranger.example"}) == 403
    assert count_of_flow_runs(api) == 0


def count_of_flow_runs(api: str) -> int:
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        return len(client.read_flow_runs())


def test_a_killed_supervisor_is_replaced_by_up_and_its_servers_are_ended_by_down(
    project: Path, ports: dict[str, str]
) -> None:
    assert servers(project, "up", ports).returncode == 0
    last = {process.pid for process in belonging_to(project)}
    kill_supervisor(project)
    again = servers(project, "up", ports)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("what a killed supervisor has left is taken over:")
    assert not last & {process.pid for process in belonging_to(project)}
    assert servers(project, "up", ports).stdout.startswith("already up:")

    kill_supervisor(project)
    assert servers(project, "down", ports).stdout == "down\n"
    assert belonging_to(project) == []
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(ports["PREFECT_API_URL"])


def kill_supervisor(project: Path) -> None:
    [supervisor] = [process for process in belonging_to(project) if "supervisor.supervisord" in process.cmdline()]
    supervisor.kill()
    supervisor.wait()


@pytest.mark.parametrize(
    ("name", "port", "word"),
    [
        ("MLflow", "MLFLOW_PORT", "up"),
        ("Prefect", "PREFECT_SERVER_API_PORT", "up"),
        ("Prefect", "PREFECT_SERVER_API_PORT", "serve"),
        ("MLflow", "MLFLOW_PORT", "ui"),
    ],
)
def test_a_port_that_is_taken_is_named_with_the_way_out(
    project: Path, ports: dict[str, str], name: str, port: str, word: str
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(ports[port])))
        other.listen()
        refused = servers(project, word, ports)
    assert refused.returncode == 1
    line = said(refused.stderr)
    assert line.startswith(f"{name} cannot have port {ports[port]} of 127.0.0.1")
    assert f"{port}=" in line
    assert line.count("\n") == 1
    assert belonging_to(project) == []


def test_all_ports_that_are_taken_are_named_with_free_ones(project: Path, ports: dict[str, str]) -> None:
    names = ("PREFECT_SERVER_API_PORT", "MLFLOW_PORT")
    with socket.socket() as first, socket.socket() as second:
        for other, name in zip((first, second), names, strict=True):
            other.bind(("127.0.0.1", int(ports[name])))
            other.listen()
        refused = servers(project, "up", ports)
    assert refused.returncode == 1
    line = said(refused.stderr)
    assert line.count("\n") == 1
    assert all(f"cannot have port {ports[name]}" in line for name in names)
    words = line.split()
    proposed = [next(word for word in words if word.startswith(f"{name}=")).partition("=")[2] for name in names]
    assert all(int(port) > 1023 and port not in ports.values() for port in proposed)
    assert words[-2:] == ["make", "up"]


@pytest.mark.parametrize(("word", "port"), [("serve", "PREFECT_SERVER_API_PORT"), ("ui", "MLFLOW_PORT")])
def test_what_runs_in_a_terminal_refuses_strangers_and_ends_with_it(
    project: Path, ports: dict[str, str], word: str, port: str
) -> None:
    page = f"http://127.0.0.1:{ports[port]}"
    command = [sys.executable, "-m", "flows.servers", word]
    log = (project / "log").open("wb")
    process = subprocess.Popen(command, cwd=project, env=environment(project, **ports), stdout=log, stderr=log)
    try:
        wait_for(lambda: answers(page))
        for headers in FOREIGN:
            address = page + {"serve": "/api/deployments/", "ui": "/ajax-api/2.0/mlflow/experiments/create"}[word]
            assert asked(address, "POST", {**headers, "Content-Type": "text/plain"}, b"{}") == 403
        if word == "serve":
            wait_for(lambda: answers(f"{ports['PREFECT_API_URL']}/deployments/name/eagleeye/search"))
            # `make up` and `make down` leave it to its terminal.
            assert servers(project, "down", ports).stdout == "nothing was up\n"
            assert "Prefect cannot have port" in servers(project, "up", ports).stderr
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    wait_for(lambda: not answers(page))


def test_what_a_killed_serve_leaves_is_ended_by_down(project: Path, ports: dict[str, str]) -> None:
    command = [sys.executable, "-m", "flows.servers", "serve"]
    process = subprocess.Popen(command, cwd=project, env=environment(project, **ports), stdout=subprocess.DEVNULL)
    wait_for(lambda: answers(ports["PREFECT_API_URL"] + "/health"))
    process.kill()
    process.wait()
    assert [each for each in belonging_to(project) if each.status() != psutil.STATUS_ZOMBIE]
    assert servers(project, "down", ports).stdout == "down\n"
    assert not answers(ports["PREFECT_API_URL"] + "/health")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 150
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def answers(address: str) -> bool:
    try:
        return bool(urllib.request.urlopen(address).status == 200)
    except OSError:
        return False


def listening() -> list[tuple[str, int]]:
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    places = [line[1].split(":") for line in lines if line[3] == "0A"]
    return [(place, int(port, 16)) for place, port in places]
