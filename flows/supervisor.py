"""supervisord, which keeps the servers and the worker alive: started, spoken to, and replaced when it was killed."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from flows import processes
from flows.pages import addresses, mlflow_environment, own_pages

TO_END = 20.0
"""Seconds for a flow run or a server to end well."""
_ANSWERS = (0, 3)  # of supervisorctl: supervisord is there; 3: one of the programs is not running
_PROGRAMS = {"Prefect": ["prefect-server", "worker"], "MLflow": ["mlflow"]}


def start() -> None:
    """Start supervisord with its programs, in the background."""
    # A path of its own, short and ours alone; up to 107 characters make the path of a socket.
    folder = tempfile.mkdtemp(prefix="eagleeye-", dir="/tmp")
    environment = {
        **os.environ,
        **mlflow_environment(),
        # Written out, so that a later `make up` or `make down` finds the servers on whatever ports they are.
        **addresses(),
        processes.FOLDER: str(Path.cwd()),
        processes.SOCKET: f"{folder}/supervisor",
        "EAGLEEYE_MLFLOW": str("MLflow" in own_pages()).lower(),
    }
    subprocess.run(_command("supervisord"), env=environment, check=True)  # noqa: S603


def is_up() -> bool:
    """Whether supervisord is there and answers."""
    asked = _control("status")
    return asked is not None and asked.wait() in _ANSWERS


def start_what_is_down() -> None:
    """Have programs started that supervisord has given up."""
    for name in own_pages():
        if (asked := _control("start", *_PROGRAMS[name])) is not None:
            asked.wait()


def take_over() -> bool:
    """Make room for a new supervisord where the last one was killed; flow runs go on.

    Returns:
        Whether there was something in the way.
    """
    found = processes.servers()
    sockets = processes.sockets()
    # Told to end, supervisord would stop its worker, and a worker its flow runs, which do without both.
    processes.kill([each for each in found if processes.is_supervisor(each) or processes.is_worker(each)])
    processes.end(processes.servers(), TO_END)
    _remove(sockets)
    return bool(found)


def stop_workers() -> None:
    """Stop the worker, so that no flow run is taken on any more, and the flow runs at work."""
    stopping = _control("stop", "worker")
    # The worker waits for its flow runs, which end sooner when they are told so, too.
    processes.end(processes.own_flow_runs(), TO_END)
    if stopping is not None:
        stopping.wait()
    processes.end([process for process in processes.servers() if processes.is_worker(process)], TO_END)
    processes.end(processes.own_flow_runs(), TO_END)  # taken on a moment before


def stop() -> None:
    """Stop all that is left, supervisord included."""
    found = processes.servers()
    sockets = processes.sockets()
    if (asked := _control("shutdown")) is not None and asked.wait() == 0:
        psutil.wait_procs(found, timeout=TO_END)
    processes.end(processes.servers(), TO_END)
    _remove(sockets)


def _control(*arguments: str) -> "subprocess.Popen[bytes] | None":
    """Supervisorctl at work; None: there is no supervisord."""
    found = processes.supervisor()
    if found is None:
        return None
    try:
        environment = found.environ()
    except psutil.NoSuchProcess:
        return None
    command = [*_command("supervisorctl"), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603


def _remove(sockets: set[Path]) -> None:
    for socket in sockets:
        shutil.rmtree(socket.parent, ignore_errors=True)


def _command(program: str) -> list[str]:
    return [sys.executable, "-m", f"supervisor.{program}", "-c", "supervisord.conf"]
