"""`python -m flows.servers up|down|serve|ui`: Prefect's server, a worker and MLflow's pages."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path

import httpx
from filelock import FileLock
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_API_PORT
from prefect.settings.context import temporary_settings

from eagleeye.errors import ConfigError, EagleEyeError
from flows import processes, supervisor
from flows.leftovers import end_all
from flows.pages import (
    addresses,
    before_commands,
    mlflow_environment,
    mlflow_page,
    own_pages,
    prefect_page,
    prepare_store,
    require_free,
    search_page,
    tracking_uri,
)
from tasks.passwords import without_password
from tasks.run.pulse import TerminalPulse, doing

FOLDER = Path(".prefect")
PATIENCE = 120.0  # seconds for all of it on a busy machine
_ASKED = (PREFECT_API_URL, PREFECT_SERVER_API_PORT)
_HEALTH = {"Prefect": "/api/health", "MLflow": "/health"}


def main(arguments: list[str]) -> int:
    """Start or stop the servers.

    Args:
        arguments: `up`, `down`, `serve` or `ui`.

    Returns:
        Exit status: 1 after one line that says what to mend.
    """
    try:
        with TerminalPulse(arguments[0]):
            {"up": up, "down": down, "serve": serve, "ui": ui}[arguments[0]]()
    except EagleEyeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def up() -> None:
    """Start what does not run yet, wait until it answers, and print the addresses.

    Raises:
        ConfigError: Ports are taken, or a server does not answer.
        TrackingError: MLflow's file is damaged or cannot be written.
    """
    with _one_at_a_time(), _where_they_are():
        if supervisor.is_up():
            print("already up:")
            supervisor.start_what_is_down()
        else:
            if supervisor.take_over():
                print("what a killed supervisor has left is taken over:")
            require_free(own_pages(), "up")
            if mlflow_page() is not None:
                prepare_store()
            supervisor.start()
        _wait()
        print(f"  Prefect {prefect_page()}", flush=True)
        print(f"  MLflow  {search_page()}")
        print(
            f"next: {before_commands()}prefect deployment run eagleeye/search --watch; logs in .prefect/;"
            " `make down` stops all of it"
        )


def down() -> None:
    """Stop the servers and the worker; a flow run at work is ended and can be continued."""
    with _one_at_a_time(), _where_they_are():
        if not processes.servers() and not processes.own_flow_runs():
            print("nothing was up")
            return
        doing("stopping; a flow run ends at the candidate or epoch at hand")
        supervisor.stop_workers()
        _end_flow_runs()
        supervisor.stop()
    print("down")


def serve() -> None:
    """Run Prefect's server and serve the deployments from this folder, until Ctrl-C.

    Raises:
        ConfigError: The port is taken.
    """
    from flows.__main__ import main as serve_deployments  # PyTorch comes with it, which takes its time

    require_free({"Prefect": prefect_page()}, "serve")
    FOLDER.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with (FOLDER / "server.log").open("ab") as log:
        # In a session of its own: Ctrl-C is for the flow runs first, which tell the server how they end.
        server = subprocess.Popen(
            [sys.executable, "-m", "flows.server"],
            env={**os.environ, processes.FOLDER: str(Path.cwd()), processes.TERMINAL: str(os.getpid())},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        serve_deployments()
    finally:
        _end_flow_runs()
        server.terminate()
        server.wait()


def ui() -> None:
    """Become the server of MLflow's pages, until Ctrl-C.

    Raises:
        ConfigError: The port is taken, or the record is on a server that has pages.
        TrackingError: MLflow's file is damaged or cannot be written.
    """
    page = mlflow_page()
    if page is None:
        raise ConfigError(f"tracking.uri is a server, which has the pages: open {without_password(tracking_uri())}")
    require_free({"MLflow": page}, "ui")
    prepare_store()
    print(f"MLflow's pages, at the last search: {search_page()}", flush=True)
    command = [sys.executable, "-m", "mlflow", "ui", "--workers", "1"]
    os.execve(sys.executable, command, {**os.environ, **mlflow_environment()})  # noqa: S606


def _one_at_a_time() -> FileLock:
    FOLDER.mkdir(exist_ok=True)
    return FileLock(FOLDER / "servers.lock")


@contextmanager
def _where_they_are() -> Iterator[None]:
    """Ask the servers that run at the ports they were started with, whatever the environment says now."""
    started = processes.started_with(list(addresses()))
    os.environ.update(started)
    wanted = {setting: started[setting.name] for setting in _ASKED if setting.name in started}
    with temporary_settings(wanted):
        yield


def _end_flow_runs() -> None:
    """Have no flow run on record as running whose process we have ended."""
    try:
        end_all()
    except httpx.HTTPError as error:
        print(f"Prefect's server does not answer ({error}): flow runs on record end with the next `make up`")


def _wait() -> None:
    deadline = time.monotonic() + PATIENCE
    for name, page in own_pages().items():
        _until(partial(_answers, page + _HEALTH[name]), f"{name} at {page}", deadline)
    # Registered by the worker: whoever is told that all is up may ask for a run.
    _until(_is_registered, "the worker", deadline)


def _until(ready: Callable[[], bool], who: str, deadline: float) -> None:
    doing(f"waiting for {who}")
    while not ready():
        if time.monotonic() > deadline:
            raise ConfigError(f"{who} does not start: see the logs in {FOLDER}/, then `make down`")
        time.sleep(0.5)


def _is_registered() -> bool:
    try:
        with get_client(sync_client=True) as client:
            client.read_deployment_by_name("eagleeye/search")
    except (ObjectNotFound, httpx.HTTPError):
        return False
    return True


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - our own http address
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
