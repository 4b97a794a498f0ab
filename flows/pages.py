"""Where the servers of this folder are asked, which ports they need, and what MLflow's is told."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from prefect.settings import get_current_settings

from eagleeye.errors import ConfigError
from flows.guard import own
from tasks.record.faults import told_apart
from tasks.settings import read_params

MACHINE = "127.0.0.1"
_OTHER = {
    "Prefect": "PREFECT_SERVER_API_PORT=4300 PREFECT_API_URL=http://127.0.0.1:4300/api make up",
    "MLflow": "MLFLOW_PORT=5001 make up",
}


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


def prepare_store() -> None:
    """Make MLflow's file, or find out what is wrong with it, before a server does without a word.

    Raises:
        TrackingError: The store refuses.
        Unavailable: It does not answer.
    """
    from tasks.record.store import prepare  # MLflow comes with it, which takes its time

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


def require_free(name: str, page: str) -> None:
    """Refuse to go on where something listens already.

    Args:
        name: Of the server that is to be started.
        page: Its address.

    Raises:
        ConfigError: The port is taken, or is none of ours to take.
    """
    place = urlsplit(page)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((place.hostname, place.port))
        except OSError as error:
            raise ConfigError(
                f"{name} cannot have port {place.port} of {place.hostname} ({error.strerror}): stop what has it "
                f"(`make down`, if it is this project's), or choose another: {_OTHER[name]}"
            ) from error


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _mlflow_port() -> int:
    port = os.environ.get("MLFLOW_PORT", "5000")
    if not port.isdigit():
        raise ConfigError(f"MLFLOW_PORT is {port!r}: a number is allowed, for instance 5001")
    return int(port)
