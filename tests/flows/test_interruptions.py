"""`make down`, and deaths that nobody planned, in the middle of a flow run: it is continued, or goes on by itself."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.processes import belonging_to
from tests.flows.interruptions import MOMENTS, Interrupted, at_work, compare
from tests.flows.project import environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Interrupted]:
    found = Interrupted(tmp_path / "project")
    yield found
    found.servers("down")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 400
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def kill(project: Interrupted, word: str) -> None:
    [victim] = [process for process in belonging_to(project.folder) if word in process.cmdline()]
    victim.kill()
    victim.wait()


def test_down_and_up_amid_a_run_lose_nothing(project: Interrupted, undisturbed: Path) -> None:
    project.interrupt(MOMENTS["ten candidates are scored"])
    assert project.slots() == 0
    compare(project, undisturbed)


def test_a_run_goes_on_without_its_worker_and_its_supervisor(project: Interrupted, undisturbed: Path) -> None:
    project.ask()
    wait_for(lambda: at_work(project))
    kill(project, "worker")
    kill(project, "supervisor.supervisord")
    assert project.servers("up").startswith("what a killed supervisor has left is taken over:")
    wait_for(lambda: not at_work(project))
    [run] = project.runs()
    assert run.state is not None
    assert run.state.is_completed(), run.state
    compare(project, undisturbed)


def test_up_ends_what_is_on_record_of_a_run_that_died_with_everything(project: Interrupted) -> None:
    project.ask()
    wait_for(lambda: at_work(project))
    run = str(project.runs()[0].id)
    kill(project, "supervisor.supervisord")
    for process in belonging_to(project.folder):
        process.kill()
    code = "import psutil, sys; from flows import processes as p; p.kill(p.own_flow_runs())"
    subprocess.run([sys.executable, "-c", code], cwd=project.folder, env=environment(project.folder), check=True)
    project.servers("up")
    [last] = project.runs()
    assert (str(last.id), last.state.name if last.state else None, project.slots()) == (run, "Crashed", 0)
