"""A copy of the project in a folder of its own, with small settings, and how it is run there."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import torch

from tasks.settings import override

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "data.preprocess.size": 8,
    "baseline.epochs": 3,
    "baseline.lr": 0.05,
    "strategies.count": 40,
    "strategies.sampler": "uniform",
    "strategies.generations": 1,
    "finetune.epochs": 2,
    "report.latency_repeats": 5,
}
# How often Prefect looks for what is to be done, in seconds; a worker's 10 and a taken slot's 30 are for the long run.
PROMPT = {
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
}
TABLES = ["scores.parquet", "ranking.parquet", "finetune/results.parquet", "finetune/pruned.safetensors"]


def checkout(folder: Path) -> Path:
    """The project's files, as a clone would have them."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and name not in ("dvc.lock", "metrics.json"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    override(folder / "params.yaml", SMALL)
    return folder


def environment(folder: Path, **more: str) -> dict[str, str]:
    """What a command in the copy needs to use the copy's sources and this Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # As many threads as the tests have: sums in another order differ in their last bits.
    threads = str(torch.get_num_threads())
    return {**os.environ, "PATH": path, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": threads, **PROMPT, **more}


def dvc(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a dvc command in the copy, as the leader of a process group."""
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment(folder), start_new_session=True)


def scored(folder: Path) -> int:
    """How many evaluations are on record in the copy."""
    try:
        book = sqlite3.connect(f"file:{folder}/.eagleeye/scores.sqlite?mode=ro", uri=True)
        return int(book.execute("SELECT count(*) FROM outcomes").fetchone()[0])
    except sqlite3.Error:
        return 0


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
