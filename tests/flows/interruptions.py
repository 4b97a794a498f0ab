"""`python -m tests.flows.interruptions`: `make down` and `make up` in the middle of a flow run, at different moments.

Each run is ended and asked for again. In the end the tables must be, byte for byte, those of a search that nobody
disturbed, and no score that was on record may have got lost on the way.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL
from prefect.settings.context import temporary_settings

from tests.flows.kills import tables
from tests.flows.project import checkout, dvc, environment, free_port, scored

SEARCH = "eagleeye/search"


class Interrupted:
    """A project whose servers are stopped again and again."""

    def __init__(self, folder: Path) -> None:
        """Copy the project and start its servers on free ports."""
        self.folder = checkout(folder)
        port = free_port()
        self.api = f"http://127.0.0.1:{port}/api"
        self._ports = {
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_API_URL": self.api,
            "MLFLOW_PORT": str(free_port()),
        }
        self.servers("up")

    def servers(self, word: str) -> str:
        """Run `make up` or `make down`."""
        done = self._run("flows.servers", word)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, *more: str) -> "subprocess.CompletedProcess[str]":
        """Ask for a search."""
        return self._run("prefect", "deployment", "run", SEARCH, *more)

    def runs(self) -> list[FlowRun]:
        """All flow runs on record, the last one first."""
        with temporary_settings({PREFECT_API_URL: self.api}), get_client(sync_client=True) as client:
            found = [run for run in client.read_flow_runs() if run.deployment_id is not None]
        return sorted(found, key=lambda run: str(run.created), reverse=True)

    def has(self, name: str) -> bool:
        """Whether the project has a file."""
        return (self.folder / name).is_file()

    def slots(self) -> int:
        """How many flow runs hold the only slot."""
        with temporary_settings({PREFECT_API_URL: self.api}), get_client(sync_client=True) as client:
            deployment = client.read_deployment_by_name(SEARCH)
        assert deployment.global_concurrency_limit is not None
        return int(deployment.global_concurrency_limit.active_slots)

    def interrupt(self, moment: Callable[[Self], bool]) -> dict[str, object]:
        """Ask for a run, stop the servers at a moment, start them again, and see to it that nothing is left at work."""
        asked = self.ask()
        assert asked.returncode == 0, asked.stderr
        deadline = time.monotonic() + 300
        while not moment(self):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        before, begun = scored(self.folder), time.monotonic()
        assert self.servers("down") == "down\n"
        seconds = time.monotonic() - begun
        kept = scored(self.folder)
        assert kept >= before
        self.servers("up")
        last = self.runs()[0]
        assert last.state is not None
        assert last.state.is_crashed() or last.state.is_cancelled() or last.state.is_scheduled(), last.state
        return {"on record": kept, "ended as": last.state.name, "seconds of down": round(seconds, 1)}

    def _run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        settings = environment(self.folder, **self._ports)
        return subprocess.run(
            [sys.executable, "-m", *command], cwd=self.folder, env=settings, capture_output=True, text=True, check=False
        )


def at_work(project: Interrupted) -> bool:
    """Whether the flow run that was asked for last has begun."""
    state = project.runs()[0].state
    return state is not None and state.is_running()


MOMENTS: Mapping[str, Callable[[Interrupted], bool]] = {
    "just asked for": lambda _: True,
    "it has begun": at_work,
    "the baseline is trained": lambda project: at_work(project) and project.has("artifacts/baseline.safetensors"),
    "ten candidates are scored": lambda project: at_work(project) and scored(project.folder) >= 10,
    "the winner is known": lambda project: at_work(project) and project.has("artifacts/ranking.parquet"),
}


def main() -> None:
    """Interrupt at each of the moments, and compare what the search ends with."""
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = checkout(Path(folder) / "undisturbed")
        assert dvc(undisturbed, "repro").wait() == 0
        project = Interrupted(Path(folder) / "interrupted")
        try:
            for name, moment in MOMENTS.items():
                print(name, json.dumps(project.interrupt(moment)), flush=True)
            compare(project, undisturbed)
        finally:
            project.servers("down")


def compare(project: Interrupted, undisturbed: Path) -> None:
    """Bring the search to its end, and compare it with one that nobody disturbed."""
    last = project.ask("--watch")
    assert last.returncode == 0, last.stdout + last.stderr
    assert project.slots() == 0
    first, second = tables(undisturbed), tables(project.folder)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    print(f"continued: {len(first)} tables and networks the same byte for byte")


if __name__ == "__main__":
    main()
