"""`python -m tests.tasks.power FINISHED FOLDER EVERY`: the power is cut between two writes, then between the next two.

A search is scored and ranked in a copy of the project FINISHED, once undisturbed, and once for every EVERYth write:
there it ends before that write, is run again, and must end with the tables of the undisturbed one and every candidate
once in MLflow. Writes are files opened for writing, renamed, linked or removed, and statements that change the
databases of `tasks`. Everything is imported once; each run is a fork. Prints how many writes and candidates there were,
and the numbers of those writes after which the search ended otherwise.
"""

import itertools
import os
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import tasks.record.store  # noqa: F401 - imported before the forks
from tasks.artifacts import CANDIDATES, RANKING, SCOREBOOK, SCORES
from tasks.run.console import Terminal
from tasks.settings import override, read_params
from tasks.stages import evaluate, rank

CHANGES = ("INSERT", "UPDATE", "DELETE", "CREATE")
EVENTS = ("os.rename", "os.link", "os.remove", "os.mkdir", "os.truncate")


class Power:
    """Counts the writes, and ends the process before one of them."""

    def __init__(self, last: int | None) -> None:
        self._numbers, self._last, self.writes = itertools.count(1), last, 0
        self._folder = Path.cwd()

    def count(self) -> None:
        self.writes = next(self._numbers)
        if self.writes == self._last:
            os._exit(0)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            inside = isinstance(path, str) and Path(path).absolute().is_relative_to(self._folder)
            if inside and flags & (os.O_WRONLY | os.O_RDWR):
                self.count()
        elif event in EVENTS:
            self.count()

    def connect(self, *arguments: Any, **options: Any) -> sqlite3.Connection:
        power = self

        class Watched(sqlite3.Connection):
            def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
                if statement.lstrip().startswith(CHANGES):
                    power.count()
                return super().execute(statement, *values)

        return sqlite3.dbapi2.connect(*arguments, factory=Watched, **options)


def run(last: int | None) -> int:
    power = Power(last)
    sqlite3.connect = power.connect
    sys.addaudithook(power.audit)
    params = read_params(Path("params.yaml"))
    for stage in (evaluate, rank):
        stage.run(params, Terminal())
    return power.writes


def forked(folder: Path, last: int | None) -> int:
    """Run in a process of its own; the number of writes, or 0 if the power was cut."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        os.write(write, str(run(last)).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as said:
        return int(said.read() or 0)


def fresh(finished: Path, folder: Path) -> Path:
    """A copy in which nothing is scored yet, with an experiment of its own in MLflow."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(finished, folder)
    for base in (CANDIDATES, SCORES, RANKING, SCOREBOOK):
        for path in folder.glob(f"{base}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    override(folder / "params.yaml", {"tracking.uri": f"sqlite:///{folder}/mlflow.db"})
    override(folder / "params.yaml", {"tracking.experiment": "power"})
    return folder


def found(folder: Path) -> tuple[list[bytes], list[tuple[str, str, int]]]:
    """The tables, and MLflow's candidates with their status and number of figures."""
    query = """
        SELECT tags.value, runs.status, COUNT(metrics.key)
        FROM runs JOIN experiments USING (experiment_id) JOIN latest_metrics AS metrics USING (run_uuid)
        JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = 'eagleeye.candidate'
        WHERE experiments.name = 'power' AND runs.lifecycle_stage = 'active' GROUP BY runs.run_uuid ORDER BY tags.value
    """
    with sqlite3.connect(folder / "mlflow.db") as store:
        runs = store.execute(query).fetchall()
    return [(folder / path).read_bytes() for path in (CANDIDATES, SCORES, RANKING)], runs


def main() -> None:
    finished, folder, every = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    writes = forked(fresh(finished, folder / "undisturbed"), None)
    wanted = found(folder / "undisturbed")
    failed = []
    for last in range(1, writes + 1, every):
        cut = fresh(finished, folder / "cut")
        forked(cut, last)
        ended = forked(cut, None) > 0
        if not ended or found(cut) != wanted or list((cut / "artifacts").rglob("*.part*")):
            failed.append(last)
        print(f"cut before write {last} of {writes}", file=sys.stderr, flush=True)
    print(writes, len(wanted[1]), *failed)


if __name__ == "__main__":
    main()
