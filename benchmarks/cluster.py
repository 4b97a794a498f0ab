"""`python -m benchmarks.cluster`: the evaluation of the digits here and on a Ray cluster, one node of which is killed.

Ray listens on the network, so that everything runs in a network namespace of its own, with nothing but loopback: the
Prefect server, the cluster's head, two nodes of one CPU each, and the flows. The second node does not see the project's
folder, as another machine would not: what it needs is brought there. Needs Linux with `unshare` and `ip`, and Ray.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tasks.settings import override

ROOT = Path(__file__).resolve().parents[1]
HEAD = "127.0.0.1:6379"
PREFECT_PORT = "4299"
PATIENCE = 180.0  # seconds for a server or a node to start on a busy machine
STARTED = "Ray runtime started"
# Name, nodes, and whether the last one is killed.
SCENARIOS = [("1 node", 1, False), ("2 nodes", 2, False), ("2 nodes, one killed", 2, True)]
# Two rungs on the few digits there are, so that BN statistics travel, too.
RACE = {"evaluate.batch_size": 16, "evaluate.first_images": [16, 100]}


@dataclass
class Run:
    """One evaluation."""

    scores: bytes
    seconds: float
    records: list[tuple[float, int]] = field(default_factory=list)
    """Seconds since the start, and candidates on record."""

    def rate(self, count: int) -> float:
        """Candidates per second in the first rung, once the workers have loaded what they need.

        Args:
            count: Candidates of the first rung.
        """
        running = [(at, scored) for at, scored in self.records if count // 3 <= scored <= count]
        (first, few), (last, many) = running[0], running[-1]
        return (many - few) / (last - first)


def main() -> int:
    """Run everything in a namespace and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--candidates", type=int, default=200, help="candidates to evaluate")
    parser.add_argument("--quick", action="store_true", help="only here, and on two nodes one of which is killed")
    parser.add_argument("--inside", action="store_true", help="already in the namespace")
    arguments = parser.parse_args()
    if not arguments.inside:
        command = ["unshare", "--map-root-user", "--net", "--mount", sys.executable, "-m", "benchmarks.cluster"]
        return subprocess.run([*command, "--inside", *sys.argv[1:]], cwd=ROOT, check=False).returncode
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)  # noqa: S607
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        found = compare(Path(folder), arguments.candidates, SCENARIOS[2:] if arguments.quick else SCENARIOS)
    print(json.dumps(found, indent=1))
    return 0


def compare(folder: Path, count: int, scenarios: Sequence[tuple[str, int, bool]]) -> dict[str, object]:
    """Evaluate the same candidates here and on clusters.

    Args:
        folder: An empty one to work in.
        count: Candidates.
        scenarios: From `SCENARIOS`.

    Returns:
        By name: seconds, candidates per second, and whether the scores are the same bytes as the local ones.
    """
    prepared = prepare(folder / "prepared", count)
    with prefect_server(folder / "prefect") as environment:
        runs = {"local, 1 thread": evaluate(prepared, folder / "local", environment, None)}
        for name, nodes, victim in scenarios:
            place, ray = (folder / f"{kind}-{name.replace(' ', '-')}" for kind in ("project", "ray"))
            with cluster(ray, nodes, hidden=place) as running:
                killed = running[-1] if victim else None
                runs[name] = evaluate(prepared, place, environment | token(ray), killed)
            # The second node, which does not see the project's folder, has been sent its files.
            assert nodes == 1 or list(ray.glob("cache-127.0.0.3/eagleeye/*/artifacts/baseline.safetensors"))
    wanted = runs["local, 1 thread"].scores
    return {
        name: {"seconds": round(run.seconds, 1), "per second": round(run.rate(count), 2), "same": run.scores == wanted}
        for name, run in runs.items()
    }


def prepare(folder: Path, count: int, **settings: object) -> Path:
    """A copy of the project with everything made that comes before the evaluation."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and name not in ("dvc.lock", "metrics.json"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)  # noqa: S607
    changes = {"strategies.count": count, "baseline.epochs": 5, "evaluate.workers": 1, **RACE, **settings}
    override(folder / "params.yaml", changes)
    subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "-q", "baseline", "strategies"], cwd=folder, env=here(folder), check=True
    )
    return folder


def here(folder: Path) -> dict[str, str]:
    """The environment of a process that works in a copy of the project: one thread, the copy's own code.

    Without Ray's settings of this process: one that has had a Ray of its own keeps its token and its ban on other
    addresses than 127.0.0.1, and a node that inherits them never joins.
    """
    others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    python = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**others, "PATH": path, "PYTHONPATH": python, "OMP_NUM_THREADS": "1"}


def evaluate(prepared: Path, folder: Path, environment: dict[str, str], killed: subprocess.Popen[bytes] | None) -> Run:
    """Run the evaluation's stage as a flow in a copy of a prepared project.

    Args:
        prepared: From `prepare`.
        folder: The copy.
        environment: How Prefect is reached; with a token also Ray.
        killed: A node to kill when some candidates are on record.
    """
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    if "RAY_AUTH_TOKEN_PATH" in environment:
        override(folder / "params.yaml", {"runner.engine": "ray", "runner.address": HEAD})
    started, records = time.monotonic(), list[tuple[float, int]]()
    process = subprocess.Popen([sys.executable, "-c", FLOW], cwd=folder, env={**here(folder), **environment})
    while process.poll() is None:
        scored = on_record(folder)
        if scored and (not records or scored > records[-1][1]):
            records.append((time.monotonic() - started, scored))
        if killed is not None and scored > 20:
            kill(killed)
            killed = None
        time.sleep(0.02)
    assert process.returncode == 0, f"the flow in {folder} failed"
    return Run((folder / "artifacts/scores.parquet").read_bytes(), time.monotonic() - started, records)


FLOW = """
import os
from prefect import flow
from flows.walk import run_stage
@flow(name="evaluation")
def evaluation():
    return run_stage("evaluate", os.getcwd(), return_state=True)
if __name__ == "__main__":
    evaluation()
"""


def on_record(folder: Path) -> int:
    """How many scores a search has on record."""
    try:
        with sqlite3.connect(f"file:{folder}/.eagleeye/scores.sqlite?mode=ro", uri=True) as book:
            return int(book.execute("SELECT count(*) FROM outcomes").fetchone()[0])
    except sqlite3.Error:
        return 0


@contextmanager
def prefect_server(home: Path) -> Iterator[dict[str, str]]:
    """A Prefect server; gives the environment of those who use it."""
    api = f"http://127.0.0.1:{PREFECT_PORT}/api"
    environment = {"PREFECT_HOME": str(home), "PREFECT_API_URL": api, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", PREFECT_PORT]
    home.mkdir(parents=True)
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log, cwd=home)
    try:
        _wait(lambda: urllib.request.urlopen(f"{api}/health", timeout=5).status == 200)  # noqa: S310
        yield environment
    finally:
        kill(server)


@contextmanager
def cluster(home: Path, nodes: int, hidden: Path | None = None) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A Ray cluster: a head that runs no work, and nodes of one CPU each.

    Args:
        home: Where its files go.
        nodes: How many.
        hidden: A folder that the last node does not see.
    """
    home.mkdir(parents=True, exist_ok=True)
    (home / "token").write_text(secrets.token_hex(32))
    running = [_node(home, "127.0.0.1", ["--head", "--port=6379", "--num-cpus=0", "--include-dashboard=false"], None)]
    try:
        _wait(lambda: STARTED in (home / "127.0.0.1.log").read_text())
        for number in range(1, nodes + 1):
            unseen = hidden if number == 2 else None
            options = [f"--address={HEAD}", "--num-cpus=1"]
            running.append(_node(home, f"127.0.0.{number + 1}", options, unseen))
            _wait(lambda log=home / f"127.0.0.{number + 1}.log": STARTED in log.read_text())
        yield running
    finally:
        for process in reversed(running):
            kill(process)


def _node(home: Path, ip: str, options: list[str], hidden: Path | None) -> subprocess.Popen[bytes]:
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--node-ip-address={ip}", *options]
    if hidden is not None:
        hidden.mkdir(parents=True, exist_ok=True)
        start = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{hidden}" && exec "$@"', "sh", *start]
    cache = home / f"cache-{ip}"
    environment = {**here(ROOT), **token(home), "XDG_CACHE_HOME": str(cache)}
    with (home / f"{ip}.log").open("wb") as log:
        return subprocess.Popen(start, env=environment, stdout=log, stderr=log, cwd=home)


def token(home: Path) -> dict[str, str]:
    """The environment of those who may use the cluster."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(home / "token"), "RAY_USAGE_STATS_ENABLED": "0"}


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all it has started, at once, as a power cut does."""
    try:
        tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for one in tree:
        try:
            one.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait()


def _wait(answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(OSError):
            if answers():
                return
        assert time.monotonic() < deadline, "no answer"
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
