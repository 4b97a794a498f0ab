"""The processes of this folder, found by what `make up` puts into their environment: no pid file outlives a crash."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

FOLDER = "EAGLEEYE_FOLDER"
"""Variable with the folder that a server, a worker and its flow runs belong to; who inherits it belongs there, too."""
SOCKET = "EAGLEEYE_SOCKET"
"""Variable with the socket by which supervisord is spoken to."""
TERMINAL = "EAGLEEYE_TERMINAL"
"""Variable with the process in a terminal that a server is for, and that ends it."""
_RUN = "PREFECT__FLOW_RUN_ID"  # set by Prefect


def servers() -> list[psutil.Process]:
    """What `make up` has started in this folder, and what a killed `make serve` has left; without flow runs."""
    return belonging_to(Path.cwd())


def belonging_to(folder: Path) -> list[psutil.Process]:
    """The same for any folder."""
    return [
        process
        for process, about in _all()
        if about.get(FOLDER) == str(folder) and _RUN not in about and not _has_a_terminal(about)
    ]


def supervisor() -> psutil.Process | None:
    """The supervisord of this folder."""
    return next(filter(is_supervisor, servers()), None)


def sockets() -> set[Path]:
    """The sockets by which the supervisords that started what runs in this folder are, or were, spoken to."""
    return {Path(about[SOCKET]) for _, about in _all() if about.get(FOLDER) == _here() and SOCKET in about}


def is_supervisor(process: psutil.Process) -> bool:
    """Whether a process is a supervisord."""
    return _runs(process, "supervisor.supervisord")


def is_worker(process: psutil.Process) -> bool:
    """Whether a process takes flow runs on, or is about to."""
    return _runs(process, "flows.worker") or (_runs(process, "prefect") and _runs(process, "worker"))


def workers() -> list[psutil.Process]:
    """The workers on this machine, of whatever folder."""
    return [process for process, about in _all() if _RUN not in about and is_worker(process)]


def flow_runs() -> set[str]:
    """Ids of the flow runs that a process of this machine works on, whoever has started it."""
    return {about[_RUN] for _, about in _all() if _RUN in about}


def own_flow_runs() -> list[psutil.Process]:
    """Processes that work on a flow run for a worker of this folder."""
    return [process for process, about in _all() if about.get(FOLDER) == _here() and _RUN in about]


def started_with(names: Sequence[str]) -> dict[str, str]:
    """Variables that the supervisord of this folder was started with; empty where there is none."""
    found = supervisor()
    try:
        about = found.environ() if found else {}
    except psutil.Error:  # it has just ended
        return {}
    return {name: about[name] for name in names if name in about}


def folder_at(port: int) -> str | None:
    """The folder whose server listens at a port of this machine; None: nobody's, or nobody's of ours."""
    try:
        listening = {
            place.pid
            for place in psutil.net_connections("tcp")
            if place.status == psutil.CONN_LISTEN and place.laddr and place.laddr.port == port
        }
    except (psutil.Error, OSError):  # the system does not tell everybody
        return None
    return next((about[FOLDER] for process, about in _all() if process.pid in listening and FOLDER in about), None)


def end(processes: Sequence[psutil.Process], patience: float) -> None:
    """End processes: with SIGTERM, then with SIGKILL.

    Args:
        processes: Which.
        patience: Seconds between the two.
    """
    _tell(processes, psutil.Process.terminate)
    _, left = psutil.wait_procs(processes, timeout=patience)
    kill(left)


def kill(processes: Sequence[psutil.Process]) -> None:
    """End processes with SIGKILL, and wait until they are gone."""
    _tell(processes, psutil.Process.kill)
    psutil.wait_procs(processes, timeout=10)


def _tell(processes: Sequence[psutil.Process], what: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            what(process)


def _has_a_terminal(about: Mapping[str, str]) -> bool:
    return TERMINAL in about and psutil.pid_exists(int(about[TERMINAL]))


def _here() -> str:
    return str(Path.cwd())


def _runs(process: psutil.Process, word: str) -> bool:
    try:
        return word in process.cmdline()
    except psutil.Error:
        return False


def _all() -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            yield process, process.environ()
        except (psutil.Error, OSError):  # another user's, or it has just ended
            continue
