"""`python -m flows.servers up|down`: Prefect server, a worker and MLflow's pages, kept alive by supervisord."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from prefect.settings import get_current_settings

from eagleeye.errors import ConfigError, EagleEyeError
from tasks.settings import read_params

FOLDER = Path(".prefect")
PATIENCE = 120.0  # seconds for all of it on a busy machine
ANSWERS = (0, 3)  # of supervisorctl: supervisord is there; 3: one of the programs is not running
_HEALTH = {"Prefect": "/api/health", "MLflow": "/health"}
_HOW = {
    "Prefect": "PREFECT_SERVER_API_PORT=4300 PREFECT_API_URL=http://127.0.0.1:4300/api make up",
    "MLflow": "MLFLOW_PORT=5001 make up",
}


def main(arguments: list[str]) -> int:
    """Start or stop the servers.

    Args:
        arguments: `up` or `down`.

    Returns:
        Exit status: 1 after one line that says what to mend.
    """
    try:
        {"up": up, "down": down}[arguments[0]]()
    except EagleEyeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def up() -> None:
    """Start what does not run yet, wait until it answers, and print the addresses.

    Raises:
        ConfigError: A port is taken, or a server does not answer.
    """
    if _control("status").returncode in ANSWERS:
        print("already up:")
    else:
        FOLDER.mkdir(exist_ok=True)
        _require_free()
        subprocess.run(_supervisor("supervisord"), env=_environment(), check=True)  # noqa: S603
    _wait()
    for name, page in _pages().items():
        print(f"  {name:<8}{page}")
    print("next: prefect deployment run eagleeye/search --watch; logs in .prefect/; `make down` stops all of it")


def down() -> None:
    """Stop the servers and the worker; a flow run at work is ended and can be continued."""
    if _control("shutdown").returncode:
        print("nothing was up")
        return
    deadline = time.monotonic() + PATIENCE
    while (FOLDER / "supervisor.sock").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    print("down")


def _pages() -> dict[str, str]:
    server, uri = get_current_settings().server.api, _tracking_uri()
    mlflow = uri if _is_server(uri) else f"http://127.0.0.1:{_mlflow_port()}"
    return {"Prefect": f"http://{server.host}:{server.port}", "MLflow": mlflow}


def _tracking_uri() -> str:
    return read_params(Path("params.yaml")).tracking.uri


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _mlflow_port() -> str:
    return os.environ.get("MLFLOW_PORT", "5000")


def _environment() -> dict[str, str]:
    """What supervisord.conf refers to; MLflow's pages are not started where the record is on a server that has them."""
    uri = _tracking_uri()
    own = {"MLFLOW_URI": uri, "MLFLOW_PORT": _mlflow_port(), "MLFLOW_AUTOSTART": str(not _is_server(uri)).lower()}
    return {**os.environ, **own}


def _own_pages() -> dict[str, str]:
    return {name: page for name, page in _pages().items() if page != _tracking_uri()}


def _require_free() -> None:
    for name, page in _own_pages().items():
        place = urlsplit(page)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((place.hostname, place.port))
            except OSError as error:
                raise ConfigError(
                    f"{name} cannot have port {place.port} of {place.hostname} ({error.strerror}): stop what has it, "
                    f"or choose another: {_HOW[name]}"
                ) from error


def _wait() -> None:
    deadline = time.monotonic() + PATIENCE
    for name, page in _own_pages().items():
        _until(partial(_answers, page + _HEALTH[name]), f"{name} at {page}", deadline)
    # Registered by the worker: whoever is told that all is up may ask for a run.
    api = _pages()["Prefect"] + "/api"
    _until(lambda: _answers(f"{api}/deployments/name/eagleeye/search"), "the worker", deadline)


def _until(ready: Callable[[], bool], who: str, deadline: float) -> None:
    while not ready():
        if time.monotonic() > deadline:
            raise ConfigError(f"{who} does not start: see the logs in {FOLDER}/, then `make down`")
        time.sleep(0.5)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - our own http address
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def _control(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [*_supervisor("supervisorctl"), *arguments]
    return subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)  # noqa: S603


def _supervisor(program: str) -> list[str]:
    return [sys.executable, "-m", f"supervisor.{program}", "-c", "supervisord.conf"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
