"""`python -m tests.flows.kills --kills 100`: kills a search at random moments, and compares what it ends with.

A search on the digits is started through a door, killed with SIGKILL, started through another door, and so on until it
has come to its end. Its tables must then be, byte for byte, those of a search that nobody disturbed, and MLflow must
hold every candidate once. Then another search begins, until so many kills have been made.
"""

import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil

from flows.processes import belonging_to
from tasks.settings import override
from tests.flows.project import checkout, dvc, environment, free_port, scored

STATE = ("artifacts", ".eagleeye", "dvc.lock", "metrics.json", ".dvc/cache", ".dvc/tmp")
FLOW = "import sys; from flows.search import search; sys.exit(not search(return_state=True).is_completed())"
LONGEST = 35.0  # seconds until a kill
Victim = Callable[[], list[int]]


class Harness:
    """A project that is killed again and again, beside one that is not."""

    def __init__(self, folder: Path, undisturbed: Path, seed: int) -> None:
        """Copy the project and start the servers."""
        self._random = random.Random(seed)  # noqa: S311
        self.undisturbed, self.killed = undisturbed, checkout(folder / "killed")
        port = free_port()
        api = f"http://127.0.0.1:{port}/api"
        self._ports = {"PREFECT_SERVER_API_PORT": str(port), "PREFECT_API_URL": api, "MLFLOW_PORT": str(free_port())}
        self._servers("up").check_returncode()
        self.kills: list[dict[str, object]] = []
        self._rounds = 0

    def close(self) -> None:
        """Stop the servers."""
        self._servers("down")

    def run(self, kills: int) -> pd.DataFrame:
        """Kill until the number is reached, and once more bring the search to its end.

        Args:
            kills: How many.

        Returns:
            One row per kill: the search, the door, who was killed, after how many seconds, evaluations on record.
        """
        while len(self.kills) < kills:
            self._begin()
            while not self._disturbed(self._random.choice(list(self._doors()))) and len(self.kills) < kills:
                pass
            assert self._until_done("dvc")
            self._compare()
        return pd.DataFrame(self.kills)

    def _begin(self) -> None:
        self._rounds += 1
        for name in STATE:
            path = self.killed / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        override(self.killed / "params.yaml", {"tracking.experiment": f"search {self._rounds}"})

    def _doors(self) -> dict[str, Callable[[], "subprocess.Popen[bytes]"]]:
        def start(*command: str) -> "subprocess.Popen[bytes]":
            settings = environment(self.killed, **self._ports)
            log = (self.killed / "door.log").open("ab")
            return subprocess.Popen(
                command, cwd=self.killed, env=settings, stdout=log, stderr=log, start_new_session=True
            )

        python = sys.executable
        deployment = [python, "-m", "prefect", "deployment", "run", "eagleeye/search", "--watch"]
        return {
            "dvc": lambda: start(python, "-m", "dvc", "repro"),
            "flow": lambda: start(python, "-c", FLOW),
            "deployment": lambda: start(*deployment),
        }

    def _disturbed(self, door: str) -> bool:
        """Start through a door and kill at a random moment; whether the search had come to its end before."""
        process = self._doors()[door]()
        started, moment = time.monotonic(), self._random.uniform(0.5, LONGEST)
        with suppress(subprocess.TimeoutExpired):
            if process.wait(moment) == 0:
                return True
            self._mend()
            return False
        who = self._kill(door, process)
        seconds = time.monotonic() - started
        row = {"search": self._rounds, "door": door, "killed": who, "seconds": seconds, "scored": scored(self.killed)}
        self.kills.append(row)
        print(f"{len(self.kills):>4}  {door:<11}{who:<15}{seconds:5.1f} s  {row['scored']} on record", flush=True)
        return False

    def _kill(self, door: str, process: "subprocess.Popen[bytes]") -> str:
        if door != "deployment":
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return "everything"
        who = self._random.choice(["flow run", "worker", "prefect-server"])
        worker = self._pid("worker")
        runs = psutil.Process(worker).children(recursive=True) if worker else []
        for victim in runs if who == "flow run" else [psutil.Process(self._pid(who))] if self._pid(who) else []:
            with suppress(psutil.NoSuchProcess):
                victim.kill()
        os.killpg(process.pid, signal.SIGKILL)  # who only watches
        process.wait()
        self._servers("up")
        return who

    def _until_done(self, door: str) -> bool:
        deadline = time.monotonic() + 900
        while time.monotonic() < deadline:
            if self._doors()[door]().wait() == 0:
                return True
            self._mend()
        return False

    def _mend(self) -> None:
        # A door was refused: what was killed before has an heir that is still at work, or DVC's own files were torn.
        command = [sys.executable, "-m", "tasks", "repair"]
        done = subprocess.run(
            command, cwd=self.killed, env=environment(self.killed), capture_output=True, text=True, check=False
        )
        if "torn" in done.stdout and "nothing" not in done.stdout:
            print(f"      {done.stdout.strip()}", flush=True)
        time.sleep(2)

    def _compare(self) -> None:
        self._rest()
        first, second = (tables(folder) for folder in (self.undisturbed, self.killed))
        assert first.keys() == second.keys()
        assert [name for name in first if first[name] != second[name]] == []
        runs, wanted = recorded(self.killed, f"search {self._rounds}"), recorded(self.undisturbed, "eagleeye")
        assert runs == wanted
        assert len({name for _, name, _, _ in wanted}) > scored_candidates(self.undisturbed)
        print(f"search {self._rounds}: {len(first)} tables and networks the same byte for byte, ", end="")
        print(f"{sum(runs.values())} figures in MLflow the same, each once", flush=True)

    def _rest(self) -> None:
        # A run that outlived its worker finds everything up to date and ends.
        while [process for process in psutil.process_iter() if self._is_flow_run(process)]:
            time.sleep(0.5)

    def _is_flow_run(self, process: psutil.Process) -> bool:
        try:
            return "prefect.engine" in " ".join(process.cmdline()) and process.cwd() == str(self.killed)
        except psutil.Error:
            return False

    def _pid(self, program: str) -> int:
        word = {"worker": "worker", "prefect-server": "flows.server"}[program]
        found = [process for process in belonging_to(self.killed) if word in process.cmdline()]
        return found[0].pid if found else 0

    def _servers(self, word: str) -> "subprocess.CompletedProcess[bytes]":
        command = [sys.executable, "-m", "flows.servers", word]
        return subprocess.run(
            command, cwd=self.killed, env=environment(self.killed, **self._ports), capture_output=True, check=False
        )


def tables(folder: Path) -> dict[str, bytes]:
    """What a search must always end with; latencies and speeds are never the same twice."""
    found = [*(folder / "artifacts").glob("*.parquet"), *(folder / "artifacts/finetune").iterdir()]
    wanted = {".parquet", ".safetensors"}
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if path.suffix in wanted}


def scored_candidates(folder: Path) -> int:
    """How many candidates a search had."""
    return len(pd.read_parquet(folder / "artifacts" / "scores.parquet"))


def recorded(folder: Path, experiment: str) -> "Counter[tuple[str, str, str, str]]":
    """MLflow's nested runs: status, candidate, name and value of every figure that does not depend on the clock."""
    query = """
        SELECT runs.status, tags.value, metrics.key, metrics.value
        FROM runs JOIN experiments USING (experiment_id) JOIN latest_metrics AS metrics USING (run_uuid)
        JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key IN ('eagleeye.candidate', 'eagleeye.finetune')
        WHERE experiments.name = ? AND runs.lifecycle_stage = 'active'
    """
    with sqlite3.connect(f"file:{folder}/mlflow.db?mode=ro", uri=True) as store:
        rows = store.execute(query, (experiment,)).fetchall()
    return Counter((status, name, key, repr(value)) for status, name, key, value in rows if "second" not in key)


def main() -> None:
    """Kill as often as asked for, and print what was killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", type=Path, help="CSV file for one row per kill")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = checkout(Path(folder) / "undisturbed")
        assert dvc(undisturbed, "repro").wait() == 0
        harness = Harness(Path(folder), undisturbed, arguments.seed)
        try:
            kills = harness.run(arguments.kills)
        finally:
            harness.close()
    print(kills.groupby(["door", "killed"]).size().to_string())
    if arguments.table:
        kills.to_csv(arguments.table, index=False)


if __name__ == "__main__":
    main()
