"""Where the servers of this folder are asked, which ports they need, and what MLflow's is told."""

import os
import shlex
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from prefect.settings import get_current_settings

from eagleeye.errors import ConfigError
from flows import processes
from flows.guard import own
from tasks import PROXIED
from tasks.passwords import without_password
from tasks.record.faults import Unavailable, told_apart
from tasks.run.proxies import LOOPBACK
from tasks.settings import read_params

MACHINE = "127.0.0.1"
_PORT = {"Prefect": "PREFECT_SERVER_API_PORT", "MLflow": "MLFLOW_PORT"}
_SETTINGS = Path("prefect.toml")


def prefect_page() -> str:
    """Address of Prefect's pages."""
    server = get_current_settings().server.api
    return f"http://{server.host}:{server.port}"


def mlflow_page() -> str | None:
    """Address of our own MLflow's pages; None where the record is on a server that has them."""
    return None if _is_server(tracking_uri()) else f"http://{MACHINE}:{_mlflow_port()}"


def own_pages() -> dict[str, str]:
    """Addresses of what we start, by name."""
    mlflow = mlflow_page()
    return {"Prefect": prefect_page()} | ({"MLflow": mlflow} if mlflow else {})


def tracking_uri() -> str:
    """Where MLflow's record is."""
    return read_params(Path("params.yaml")).tracking.uri


def search_page() -> str:
    """Where a browser finds the last search; of a server that does not answer, its address alone."""
    from tasks.record.entrance import address  # MLflow comes with it, which takes its time

    tracking = read_params(Path("params.yaml")).tracking
    page = mlflow_page() or without_password(tracking.uri)
    try:
        with told_apart(tracking.uri):
            return address(tracking, page)
    except Unavailable:
        return page


def prepare_store() -> None:
    """Make MLflow's file, or find out what is wrong with it, before a server does without a word.

    Raises:
        TrackingError: The store refuses.
        Unavailable: It does not answer.
    """
    from tasks.record.opening import prepare  # MLflow comes with it, which takes its time

    uri = tracking_uri()
    with told_apart(uri):
        prepare(uri)


def mlflow_environment() -> dict[str, str]:
    """The settings of our own MLflow server, where nobody else reads them."""
    names = own(MACHINE, _mlflow_port())
    return {
        "MLFLOW_BACKEND_STORE_URI": tracking_uri(),
        "MLFLOW_HOST": MACHINE,
        "MLFLOW_PORT": str(_mlflow_port()),
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(sorted(names.hosts)),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(sorted(names.origins)),
        # Its job queues, of which nothing here makes use, are eight more processes.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def addresses() -> dict[str, str]:
    """The variables that say where our servers are asked, whatever else the environment of a later command says."""
    api = get_current_settings().api.url
    port = urlsplit(prefect_page()).port
    return ({"PREFECT_API_URL": api} if api else {}) | {
        _PORT["Prefect"]: str(port),
        _PORT["MLflow"]: str(_mlflow_port()),
    }


def before_commands() -> str:
    """What stands before a command of the shell in this folder, so that it reaches our server.

    Returns:
        Assignments of variables with a blank after each; empty where the folder's own settings are enough.
    """
    told = {}
    if PROXIED:  # a program of the shell would ask its proxy for our server
        told["NO_PROXY"] = ",".join(LOOPBACK)
    if (api := get_current_settings().api.url) and api != _usual_api():
        told["PREFECT_API_URL"] = api
    return "".join(f"{name}={shlex.quote(value)} " for name, value in told.items())


def _usual_api() -> str | None:
    """The server that commands in this folder ask by themselves."""
    if not _SETTINGS.is_file():
        return None
    url = tomllib.loads(_SETTINGS.read_text(encoding="utf-8")).get("api", {}).get("url")
    return str(url) if url else None


def require_free(pages: Mapping[str, str], word: str) -> None:
    """Refuse to go on where something listens already.

    Args:
        pages: Addresses of the servers that are to be started, by name.
        word: What was asked of make, for the way out.

    Raises:
        ConfigError: Ports are taken, or are none of ours to take; the message names all of them, and free ones.
    """
    refused = {name: reason for name, page in pages.items() if (reason := _refusal(*_place(page)))}
    if not refused:
        return
    said = []
    others = []
    for name, reason in refused.items():
        host, port = _place(pages[name])
        whose = processes.folder_at(port)
        said.append(f"{name} cannot have port {port} of {host} ({reason}{f', by that of {whose}' if whose else ''})")
        others.append(f"{_PORT[name]}={_free_port(host, port)}")
    raise ConfigError(
        f"{'; '.join(said)}: stop what has it (`make down` in its folder, if it is this project's), or choose another:"
        f" {' '.join(others)} make {word}"
    )


def _place(page: str) -> tuple[str, int]:
    parts = urlsplit(page)
    assert parts.hostname is not None and parts.port is not None
    return parts.hostname, parts.port


def _refusal(host: str, port: int) -> str | None:
    """Why a port cannot be had; None: it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return str(error.strerror)
    return None


def _free_port(host: str, taken: int) -> int:
    """A port to propose: the next hundred's, where nothing listens."""
    near = (port for port in range(taken + 100, 2**16, 100) if port >= 1024 and _refusal(host, port) is None)
    return next(near, 0) or taken


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _mlflow_port() -> int:
    port = os.environ.get("MLFLOW_PORT", "5000")
    if not port.isdigit():
        raise ConfigError(f"MLFLOW_PORT is {port!r}: a number is allowed, for instance 5001")
    return int(port)
